"""Two stores of the speed views, byte for byte: the live one, and one that a replay has filled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from feature_repo.layout import EntityKeys, ViewLayout
from feature_repo.views import STORED_VIEWS
from infra.settings import Settings
from schemas.errors import DependencyError
from speed.commands.target import Target
from speed.job.lifetime import Lifetime
from speed.job.settings import LogRange
from speed.writer.sink import offsets_field

SPEED_VIEWS: Final = tuple(view for view in STORED_VIEWS if view.owner == "speed")
SCAN_COUNT: Final = 1_000
TIMEOUT_S: Final = 30.0

OFFSET_CELLS: Final = tuple(f"_{name}" for name in ("offset_partitions", "offsets"))
"""How the names of the cells end that say of their row which offsets it includes."""

Cells = list[bytes | None]
Verdict = Literal["equal", "absent", "unsettled", "outside", "expired", "different"]


@dataclass(slots=True)
class Comparison:
    """Rows by what became of them.

    `equal` in every byte of every cell. `unsettled`: the live row knows of records behind the range. `outside`: the
    live row has none of the range. `expired`: a row is gone because its time was over; when it goes, a timer decides.
    `differing` names view, entity and fields. Times to live are no content and are not compared.
    """

    equal: int = 0
    unsettled: int = 0
    outside: int = 0
    expired: int = 0
    differing: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Judge:
    """Compares one view's rows of one entity."""

    part: LogRange
    layout: ViewLayout
    lifetime: Lifetime

    @property
    def fields(self) -> tuple[bytes, ...]:
        """What to ask the stores for: the row, and the offsets that it includes."""
        return *self.layout.fields, offsets_field(self.layout.view)

    def verdict(self, live: Cells, replayed: Cells) -> Verdict:
        """What two answers to `fields` are to each other."""
        offsets, others = _offsets(live[-1]), _offsets(replayed[-1])
        if offsets == others and live[:-1] == replayed[:-1]:
            return "absent" if offsets is None else "equal"
        if offsets and others and self._within(offsets) == self._within(others) and not self._differing(live, replayed):
            return "equal"
        if offsets is None or others is None:
            at_ms = self.layout.event_at_ms((replayed if offsets is None else live)[:-1])
            if at_ms is not None and self.lifetime.is_over(at_ms):
                return "expired"
        if offsets is None:
            return "different"
        if any(offset >= self.part.until.get(partition, 0) for partition, offset in offsets.items()):
            return "unsettled"
        is_before = all(offset < self.part.first.get(partition, 0) for partition, offset in offsets.items())
        return "outside" if is_before and others is None else "different"

    def differing_fields(self, live: Cells, replayed: Cells) -> list[str]:
        """The names of the cells that differ."""
        return self._differing(live, replayed) or ["offsets"]

    def _differing(self, live: Cells, replayed: Cells) -> list[str]:
        """Without the offsets."""
        names = (*self.layout.features, "event time")
        pairs = zip(names, live[:-1], replayed[:-1], strict=True)
        return [name for name, one, other in pairs if one != other and not name.endswith(OFFSET_CELLS)]

    def _within(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """A live row may also name the offsets that lay before its job; the replay knows of none before its range."""
        return {
            partition: offset for partition, offset in offsets.items() if offset >= self.part.first.get(partition, 0)
        }


def compare(settings: Settings, target: Target, part: LogRange, to_ms: int) -> Comparison:
    """Every row of the speed views in either store. Raises DependencyError when one does not answer."""
    found, lifetime = Comparison(), Lifetime(settings.policies.bucket)
    lifetime.advance(to_ms)
    live_target = Target(settings.redis.host, settings.redis.port)
    with closing(_connect(live_target)) as live, closing(_connect(target)) as replayed:
        try:
            for view in SPEED_VIEWS:
                keys, judge = EntityKeys(settings.feast.project, view.join_key), Judge(part, view.layout(), lifetime)
                for key in sorted({*_keys_of(live, keys), *_keys_of(replayed, keys)}):
                    _note(found, judge, f"{view.name} {keys.value(key)}", live, replayed, key)
        except RedisError as error:
            raise DependencyError("redis", str(error), "are both stores up?") from error
    return found


def _note(found: Comparison, judge: Judge, name: str, live: Any, replayed: Any, key: bytes) -> None:
    ours: Cells = live.hmget(key, judge.fields)
    theirs: Cells = replayed.hmget(key, judge.fields)
    match judge.verdict(ours, theirs):
        case "equal":
            found.equal += 1
        case "unsettled":
            found.unsettled += 1
        case "outside":
            found.outside += 1
        case "expired":
            found.expired += 1
        case "different":
            where = "absent live" if ours[-1] is None else "absent in the replay" if theirs[-1] is None else ""
            found.differing.append(f"{name}: {where or ', '.join(judge.differing_fields(ours, theirs))}")
        case "absent":
            pass


def _offsets(packed: bytes | None) -> Mapping[int, int] | None:
    """The offsets by partition: the order in which they are packed is that of their arrival, and no content."""
    return None if packed is None else msgspec.msgpack.decode(packed, type=dict[int, int])


def _connect(target: Target) -> Any:
    return Redis(host=target.host, port=target.port, db=target.database, socket_timeout=TIMEOUT_S)


def _keys_of(client: Any, keys: EntityKeys) -> Iterator[bytes]:
    """The keys of one kind of entity in one store."""
    return (key for key in client.scan_iter(count=SCAN_COUNT) if keys.value(key) is not None)
