"""The row of a key: its mergeable state as it stands on the changelog, and the same row open for one more record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, cast

import msgspec

from domain.aggregates.algebra import Adder
from domain.aggregates.alike import AlikeAdder, alike_adder
from domain.facts import Fact, Stamp
from domain.features import GENERATION, Entity, folds_of
from domain.hops import Hop
from domain.policies import BucketPolicy
from domain.timeline import Visit

STATE_VERSION: Final = 3


class BucketState(msgspec.Struct, array_like=True):
    """The states of one bucket, by feature name; one that is not there is zero.

    `generation` is the catalogue's when the bucket began: of a feature that came later it has a part at most.
    """

    start_ms: int
    states: dict[str, Any]
    generation: int = 1


class Row(msgspec.Struct):
    """A changelog value: a key's mergeable state, and the newest offset per partition that it includes.

    `dropped_through_ms` is the end of the newest bucket that the state has let go, 0 when it has all.
    """

    version: int
    received_at_ms: int
    offsets: dict[int, int]
    dropped_through_ms: int
    buckets: list[BucketState]
    visits: list[Visit]


class OpenRow(msgspec.Struct, array_like=True):
    """A row as it is on the wire, where each bucket and the visits are bytes by themselves, so that only what a record
    changes is decoded.

    The newest bucket, which nearly every record belongs to, is decoded when it is needed, and stands decoded in the
    list until the row is encoded again.
    """

    version: int
    received_at_ms: int
    offsets: dict[int, int]
    dropped_through_ms: int
    buckets: list[bytes]
    visits: bytes

    def advance(self, stamp: Stamp | Hop) -> None:
        """Note that the row includes a record."""
        if stamp.received_at_ms > self.received_at_ms:
            self.received_at_ms = stamp.received_at_ms
        if stamp.offset > self.offsets.get(stamp.partition, -1):
            self.offsets[stamp.partition] = stamp.offset

    def add(self, entity: Entity, fact: Fact, start_ms: int, policy: BucketPolicy) -> None:
        """Add a fact to its bucket; beyond `policy.kept` buckets the oldest is let go, and that is noted."""
        if start_ms < self.dropped_through_ms:
            return
        states = self._bucket(start_ms, policy).states
        for name, add, zero in adders_of(entity, fact.kind, policy.period_ms):
            known = states.get(name)
            if known is not None:
                states[name] = add(known, fact)
                continue
            state = add(zero(), fact)
            if state != zero():
                states[name] = state

    def add_alike(self, entity: Entity, facts: Sequence[Fact], start_ms: int, policy: BucketPolicy) -> None:
        """The same for facts that are alike (see `domain.aggregates.alike`)."""
        if len(facts) == 1:
            self.add(entity, facts[0], start_ms, policy)
            return
        if start_ms < self.dropped_through_ms:
            return
        states = self._bucket(start_ms, policy).states
        for name, add, zero in alike_adders_of(entity, facts[0].kind, policy.period_ms):
            known = states.get(name)
            state = add(zero() if known is None else known, facts)
            if known is not None or state != zero():
                states[name] = state

    def _bucket(self, start_ms: int, policy: BucketPolicy) -> BucketState:
        """The bucket that starts there, decoded and in its place."""
        if self.buckets:
            newest = self._decoded(-1)
            if newest.start_ms == start_ms:
                return newest
        return self._other_bucket(start_ms, policy)

    def _other_bucket(self, start_ms: int, policy: BucketPolicy) -> BucketState:
        buckets = [self._decoded(place) for place in range(len(self.buckets))]
        found = next((bucket for bucket in buckets if bucket.start_ms == start_ms), None)
        if found is None:
            found = BucketState(start_ms, {}, GENERATION)
            buckets = sorted([*buckets, found], key=lambda bucket: bucket.start_ms)
            for let_go in buckets[: -policy.kept]:
                self.dropped_through_ms = let_go.start_ms + policy.period_ms
            self.buckets = cast(list[bytes], buckets[-policy.kept :])
        return found

    def _decoded(self, place: int) -> BucketState:
        bucket: bytes | BucketState = self.buckets[place]
        if not isinstance(bucket, BucketState):
            bucket = _BUCKETS.decode(bucket)
            self.buckets[place] = cast(bytes, bucket)
        return bucket

    def close(self) -> None:
        """Encode the buckets that were decoded."""
        for place, bucket in enumerate(self.buckets):
            if not isinstance(bucket, bytes):
                self.buckets[place] = _ENCODER.encode(bucket)


@cache
def adders_of(entity: Entity, kind: str, period_ms: int) -> tuple[tuple[str, Adder, Callable[[], Any]], ...]:
    """Of each feature that a fact of this kind changes: its name, what adds the fact, and what makes a zero state."""
    return tuple((name, one.adder(period_ms), one.zero) for name, one in folds_of(entity, kind))


@cache
def alike_adders_of(entity: Entity, kind: str, period_ms: int) -> tuple[tuple[str, AlikeAdder, Callable[[], Any]], ...]:
    """The same for facts that are alike."""
    return tuple((name, alike_adder(one, period_ms), one.zero) for name, one in folds_of(entity, kind))


class _Versioned(msgspec.Struct, array_like=True):
    """The beginning of every row that ever was."""

    version: int


_ENCODER: Final = msgspec.msgpack.Encoder()
_VERSIONED: Final = msgspec.msgpack.Decoder(_Versioned)
_OPEN_ROWS: Final = msgspec.msgpack.Decoder(OpenRow)
_BUCKETS: Final = msgspec.msgpack.Decoder(BucketState)
_VISITS: Final = msgspec.msgpack.Decoder(list[Visit])
NO_VISITS: Final = _ENCODER.encode([])


def decode_row(raw: bytes) -> Row:
    """A changelog value, decoded."""
    row = _OPEN_ROWS.decode(raw)
    buckets, visits = [decode_bucket(bucket) for bucket in row.buckets], decode_visits(row.visits)
    return Row(row.version, row.received_at_ms, row.offsets, row.dropped_through_ms, buckets, visits)


def version_of(raw: bytes) -> int:
    """The version of a changelog value, whichever release made it."""
    return _VERSIONED.decode(raw).version


def decode_bucket(raw: bytes) -> BucketState:
    """A bucket of an open row, decoded."""
    return _BUCKETS.decode(raw)


def decode_visits(raw: bytes) -> list[Visit]:
    """The visits of an open row, decoded."""
    return _VISITS.decode(raw)


def encode_row(row: Row | OpenRow) -> bytes:
    """A changelog value, encoded."""
    if isinstance(row, OpenRow):
        row.close()
        return _ENCODER.encode(row)
    buckets, visits = [_ENCODER.encode(bucket) for bucket in row.buckets], _ENCODER.encode(row.visits)
    return _ENCODER.encode(
        OpenRow(row.version, row.received_at_ms, row.offsets, row.dropped_through_ms, buckets, visits)
    )


def empty_row() -> Row:
    """The row of a key of which nothing is known."""
    return Row(STATE_VERSION, 0, {}, 0, [], [])


def open_row(raw: bytes | memoryview | None) -> OpenRow:
    """A changelog value to be changed; without one, the row of a key of which nothing is known."""
    if raw is None:
        return OpenRow(STATE_VERSION, 0, {}, 0, [], NO_VISITS)
    return _OPEN_ROWS.decode(raw)
