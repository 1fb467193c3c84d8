"""The file of API keys: what it holds, how a key is made and recognised, and how a server follows it.

A key is 256 random bits, so nobody finds it by trying, however quick the hash: SHA-256 keeps it from whoever reads the
file. A slow hash (bcrypt, Argon2) is for passwords, which people choose; here it would cost every request.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterable
from enum import StrEnum
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from schemas.errors import ConfigurationError

POLL_S: Final = 0.5
SECRET_BYTES: Final = 32
KEYS_MAX: Final = 10_000
_NOBODY: Final = bytes(32)

log = logging.getLogger(__name__)


class Scope(StrEnum):
    """What a key is good for. None of them includes another; a key may have several."""

    PRODUCE = "produce"  # send events
    CONSUME = "consume"  # ask for slates, lists and features
    ADMIN = "admin"  # change what everybody sees: catalogue and rules; erase


class Key(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One key as it is stored: everything but the key itself, of which there is the hash."""

    key_id: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    created_at_ms: int
    requests_per_s: Annotated[float, Meta(gt=0)] | None = None


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the file holds."""

    keys: Annotated[tuple[Key, ...], Meta(max_length=KEYS_MAX)] = ()


class BadKeys(ConfigurationError):
    """The file of keys cannot be used."""


class Created(NamedTuple):
    """A new key, and the only time that its text is known."""

    key: Key
    text: str


class KeyRing:
    """Recognises keys."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = {key.key_id.encode(): (bytes.fromhex(key.sha256), key) for key in keys}

    def __len__(self) -> int:
        return len(self._keys)

    def holder(self, text: bytes) -> Key | None:
        """The key that this text is. How long it takes tells nothing of how much of a wrong one was right."""
        _, _, rest = text.partition(b"_")
        digest, key = self._keys.get(rest[:12], (_NOBODY, None))
        return key if compare_digest(sha256(text).digest(), digest) else None


def new_key(name: str, scopes: Iterable[Scope], now_ms: int, requests_per_s: float | None = None) -> Created:
    """A key that nobody has had before: `firth_<id>_<secret>`; the id is no secret and names it ever after."""
    key_id = secrets.token_hex(6)
    text = f"firth_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    key = Key(
        key_id=key_id,
        name=name,
        scopes=tuple(sorted(set(scopes))),
        sha256=sha256(text.encode()).hexdigest(),
        created_at_ms=now_ms,
        requests_per_s=requests_per_s,
    )
    return Created(key, text)


def read_keys(path: Path) -> tuple[Key, ...]:
    """The keys of the file; none when it does not exist. Raises BadKeys."""
    return _parsed(_content(path), path)


def change_keys(path: Path, change: Callable[[tuple[Key, ...]], tuple[Key, ...]]) -> None:
    """Put the changed keys in the place of the file, as a whole; whoever else changes it waits. Raises BadKeys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = Keys(change(read_keys(path)))
        write_private(path, msgspec.json.format(msgspec.json.encode(keys)) + b"\n")


def text_of(path: Path) -> str | None:
    """The key that a file of `keys create --out` holds; None without the file."""
    raw = _content(path)
    return None if raw is None else raw.decode().strip()


def write_private(path: Path, content: bytes) -> None:
    """Put a file that only its owner may read in its place, as a whole."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


class KeysWatcher:
    """Holds the ring of keys, and makes it anew within a second of a change of the file.

    A file that cannot be read is refused, and the keys of before go on: `problem` says why, and so does /readyz.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: bytes | None = None
        self.ring = KeyRing()
        self.problem: str | None = None

    async def watch(self) -> None:
        """Look for another content, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(POLL_S)

    async def look(self) -> None:
        """Look once."""
        try:
            raw = await asyncio.to_thread(_content, self._path)
            if raw != self._seen or self.problem is not None:
                self.ring = KeyRing(_parsed(raw, self._path))
                self._seen, self.problem = raw, None
                log.info("keys.loaded", extra={"keys": len(self.ring)})
        except (BadKeys, OSError) as error:
            if self.problem != str(error):
                self.problem = str(error)
                log.warning("keys.refused", extra={"file": str(self._path), "problem": self.problem})


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _parsed(raw: bytes | None, path: Path) -> tuple[Key, ...]:
    try:
        return () if raw is None else msgspec.json.decode(raw, type=Keys).keys
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        remedy = "change it with `python -m serving keys` only, or restore it"
        raise BadKeys(str(path), f"holds no keys: {error}", remedy) from error
