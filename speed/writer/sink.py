"""Where finished rows go: the contract, and Redis as Feast reads it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import pack
from typing import Any, Final, Protocol

import msgspec
from redis import Redis
from redis.exceptions import NoScriptError, RedisError

from infra.settings import RedisSettings
from schemas.errors import DependencyError
from speed.writer.finishing import FeatureUpdate

TIMEOUT_S: Final = 5.0
"""Longer than what a reader waits: the writer would rather be late than try again."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch: per update and change, the removals first, whether it was made, else it was outdated.

    `epoch` is the store's after the last row. When it is not the one that the writer works for, the store was wiped
    and may lack anything.
    """

    outcomes: list[list[bool]]
    epoch: str


class FeatureSink(Protocol):
    """A store of feature rows that no writer can move backwards."""

    def epoch(self) -> str:
        """The token of the store's content: it changes when the store was wiped, and only then."""
        ...

    def write(self, updates: Sequence[FeatureUpdate]) -> Written:
        """Store each row unless the store has one that knows of a record which this one does not include.

        A removal comes before the rows of its update, and spares a row that knows of a record beyond the tombstone.

        Atomic per update. Raises DependencyError when the store does not answer; writing again then is safe.
        """
        ...


# KEYS: the entity's hash. ARGV: its time to live in seconds; then for each change six arguments: the command that makes
# it, the field of the view's offsets, the offsets (none: they do not matter), the fields, the sizes of their values,
# and the values, joined: fifty values cost the writer half as much in one argument as in fifty. What is outdated does
# not prolong the life of what is stored.
CHANGE_IF_NOT_OLDER: Final = """
local outcomes, changed = {}, false
for at = 2, #ARGV, 6 do
  local command, field, offsets = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local stored, outcome = redis.call('HGET', KEYS[1], field), 1
  if stored and stored ~= offsets and offsets ~= '' then
    local new = cmsgpack.unpack(offsets)
    for partition, offset in pairs(cmsgpack.unpack(stored)) do
      if (new[partition] or -1) < offset then outcome = 0 end
    end
  end
  if outcome == 1 then
    local fields = cmsgpack.unpack(ARGV[at + 3])
    if command == 'HSET' then
      local sizes, values, changes, first = cmsgpack.unpack(ARGV[at + 4]), ARGV[at + 5], {}, 1
      for number = 1, #fields do
        local next = first + sizes[number]
        changes[2 * number - 1] = fields[number]
        changes[2 * number] = string.sub(values, first, next - 1)
        first = next
      end
      redis.call('HSET', KEYS[1], field, offsets, unpack(changes))
    else
      redis.call('HDEL', KEYS[1], field, unpack(fields))
    end
    changed = true
  end
  outcomes[#outcomes + 1] = outcome
end
if changed then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return outcomes
"""


@lru_cache(maxsize=64)
def offsets_field(view: str) -> bytes:
    """The hash field that holds the offsets a view's row includes; Feast passes over it."""
    return b"_offsets:" + view.encode()


def epoch_key(project: str) -> str:
    """The key whose absence tells that the store was wiped."""
    return f"firth:epoch:{project}"


class RedisFeatureSink:
    """One hash an entity; the comparison and the write are one script, so that two writers cannot interleave."""

    def __init__(self, settings: RedisSettings, project: str, *, database: int = 0) -> None:
        self._address = f"redis {settings.host}:{settings.port}"
        self._ttl_s = settings.row_ttl_s
        self._epoch_key = epoch_key(project)
        self._client = Redis(
            host=settings.host,
            port=settings.port,
            db=database,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
        self._script = ""
        self._pack = msgspec.msgpack.Encoder().encode

    def epoch(self) -> str:
        try:
            self._client.set(self._epoch_key, secrets.token_hex(8), nx=True)
            return _text(self._client.get(self._epoch_key))
        except RedisError as error:
            raise self._unreachable(error) from error

    def write(self, updates: Sequence[FeatureUpdate]) -> Written:
        try:
            try:
                return self._write(updates)
            except NoScriptError:
                self._script = ""
                return self._write(updates)
        except RedisError as error:
            raise self._unreachable(error) from error

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _write(self, updates: Sequence[FeatureUpdate]) -> Written:
        if not self._script:
            self._script = _text(self._client.script_load(CHANGE_IF_NOT_OLDER))
        commands: list[tuple[Any, ...]] = [
            ("EVALSHA", self._script, 1, update.key, *self._arguments(update)) for update in updates
        ]
        *outcomes, epoch = self._ask([*commands, ("GET", self._epoch_key)])
        return Written([[outcome == 1 for outcome in changes] for changes in outcomes], _text(epoch))

    def _ask(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The answers to commands that are sent at once: redis-py's pipeline, without what it does for each command."""
        pool = self._client.connection_pool
        connection = pool.get_connection()
        try:
            connection.send_packed_command([b"".join(connection.pack_commands(commands))])
            return [connection.read_response() for _ in commands]
        except BaseException:
            connection.disconnect()  # what it has not answered yet is nobody's answer
            raise
        finally:
            pool.release(connection)

    def _arguments(self, update: FeatureUpdate) -> list[Any]:
        arguments: list[Any] = [self._ttl_s]
        for removal in update.removals:
            through = b"" if removal.through is None else self._pack(removal.through)
            arguments += ("HDEL", offsets_field(removal.view), through, _packed(removal.fields), b"", b"")
        offsets = self._pack(update.offsets)
        for row in update.rows:
            sizes = self._pack(list(map(len, row.values)))
            arguments += ("HSET", offsets_field(row.view), offsets, _packed(row.fields), sizes, b"".join(row.values))
        return arguments

    def _unreachable(self, error: RedisError) -> DependencyError:
        return DependencyError(self._address, str(error), "is it up (`python -m infra status`)?")


def _text(answer: Any) -> str:
    """An answer as text; a key that is absent is empty."""
    return answer.decode() if isinstance(answer, bytes) else str(answer or "")


@lru_cache(maxsize=64)
def _packed(fields: tuple[bytes, ...]) -> bytes:
    """The fields of a view in MessagePack, as what it used to call raw: Redis 6 reads no binaries."""
    return pack(">BH", 0xDC, len(fields)) + b"".join(pack(">BH", 0xDA, len(field)) + field for field in fields)
