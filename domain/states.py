"""What the stream keeps of a key: mergeable, bounded, and self-describing enough to be finished elsewhere.

`VisitorState` admits records and folds them; `ItemState` folds the facts that a visitor's state admitted. What leaves
on the changelog (`row`) is the state itself without the remembered event ids: readers finish the features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from domain.admission import IDENTITY_BYTES, identity
from domain.facts import Fact, Stamp, to_fact
from domain.features import GENERATION, Entity, folds_of
from domain.policies import BucketPolicy, Policies
from domain.timeline import Timeline, Visit, to_visit
from schemas.errors import Reason, RejectedEvent
from schemas.events import InteractionEvent

STATE_VERSION: Final = 2


class BucketState(msgspec.Struct, array_like=True):
    """The states of one bucket, by feature name; one that is not there is zero.

    `generation` is the catalogue's when the bucket began: of a feature that came later it has a part at most.
    """

    start_ms: int
    states: dict[str, Any]
    generation: int = 1


class Row(msgspec.Struct, array_like=True):
    """A changelog value: a key's mergeable state, and the newest offset per partition that it includes.

    `dropped_through_ms` is the end of the newest bucket that the state has let go, 0 when it has all.
    """

    version: int
    received_at_ms: int
    offsets: dict[int, int]
    dropped_through_ms: int
    buckets: list[BucketState]
    visits: list[Visit]


Seen = dict[int, dict[int, bytes]]
"""By partition and bucket, the identities of the events that were seen there, one after the other."""


class _VisitorBlob(msgspec.Struct, array_like=True):
    row: Row
    seen: Seen


class _RowInBlob(msgspec.Struct, array_like=True):
    row: msgspec.Raw


_ENCODER = msgspec.msgpack.Encoder()
_ROWS = msgspec.msgpack.Decoder(Row)
_VISITORS = msgspec.msgpack.Decoder(_VisitorBlob)
_ROWS_IN_BLOBS = msgspec.msgpack.Decoder(_RowInBlob)


def decode_row(raw: bytes) -> Row:
    """A changelog value, decoded."""
    return _ROWS.decode(raw)


def encode_row(row: Row) -> bytes:
    """A changelog value, encoded."""
    return _ENCODER.encode(row)


def encoded_row(blob: bytes) -> bytes:
    """The changelog value that stands in a dumped visitor's state: cut out, without decoding or encoding it again."""
    return bytes(_ROWS_IN_BLOBS.decode(blob).row)


def empty_row() -> Row:
    """The row of a key of which nothing is known."""
    return Row(STATE_VERSION, 0, {}, 0, [], [])


@dataclass(frozen=True, slots=True)
class Admitted:
    """The record counts. `is_late` when it is beyond the timeline's horizon, and so only in its bucket."""

    fact: Fact
    is_late: bool


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The event was seen before: nothing changes but the offset, and that it was seen again."""


Outcome = Admitted | Duplicate


class VisitorState:
    """All that the stream keeps of one visitor. Feed it the records of each partition in offset order.

    Each partition is admitted by itself, because only within one there is an order that every layer knows. A visitor
    is in several only where a producer partitions otherwise than Kafka, or where partitions were added.
    """

    __slots__ = ("_policies", "_seen", "row")

    def __init__(self, row: Row, seen: Seen, policies: Policies) -> None:
        self.row = row
        self._seen = seen
        self._policies = policies

    @classmethod
    def load(cls, blob: bytes | None, policies: Policies) -> VisitorState:
        """The state as `dump` left it, or a new one."""
        if blob is None:
            return cls(empty_row(), {}, policies)
        loaded = _VISITORS.decode(blob)
        return cls(loaded.row, loaded.seen, policies)

    def dump(self) -> bytes:
        """The state as bytes; `load(dump())` behaves alike for every later record."""
        return _ENCODER.encode(_VisitorBlob(self.row, self._seen))

    def observe(self, event: InteractionEvent, stamp: Stamp) -> Outcome:
        """Take one screened record.

        Raises:
            RejectedEvent: `flood`, when the visitor's bucket is full; the offset counts as taken all the same.
        """
        bucket = self._policies.bucket
        start_ms = bucket.start_of(stamp.received_at_ms)
        _advance(self.row, stamp)
        if self._was_seen(identity(event.event_id), stamp.partition, start_ms):
            return Duplicate()
        fact = to_fact(event, stamp.received_at_ms)
        if not event.personalise:
            return Admitted(fact, is_late=False)
        return Admitted(fact, is_late=self._fold(fact, start_ms))

    def _fold(self, fact: Fact, start_ms: int) -> bool:
        _fold_into(self.row, "visitor", fact, start_ms, self._policies.bucket)
        timeline, visit = Timeline(tuple(self.row.visits)), to_visit(fact)
        is_late = timeline.is_late(visit, self._policies.timeline)
        self.row.visits = list(timeline.add(visit, self._policies.timeline).visits)
        return is_late

    def _was_seen(self, token: bytes, partition: int, start_ms: int) -> bool:
        """Whether an event was seen in its own or the previous `dedup` buckets; from now on it was.

        What was merely seen counts, admitted or not, so that the answer depends on these buckets alone and a rebuild
        that begins with the first of them gives it too. A full bucket remembers no more.
        """
        seen, bucket = self._seen.setdefault(partition, {}), self._policies.bucket
        ids = seen.get(start_ms, b"")
        if _holds(ids, token):
            return True
        oldest_ms = start_ms - bucket.dedup * bucket.period_ms
        was_seen = any(oldest_ms <= at_ms < start_ms and _holds(before, token) for at_ms, before in seen.items())
        admitted_max = self._policies.admission.admitted_max
        if len(ids) < admitted_max * IDENTITY_BYTES:
            seen[start_ms] = ids + token
            while len(seen) > bucket.dedup + 1:
                del seen[min(seen)]
        elif not was_seen:
            detail = f"over {admitted_max} different events in one bucket: is this visitor a robot?"
            raise RejectedEvent(Reason.FLOOD, "visitor_id", detail)
        return was_seen


class ItemState:
    """All that the stream keeps of one item. Feed it admitted facts; order does not matter."""

    __slots__ = ("_policies", "row")

    def __init__(self, row: Row, policies: Policies) -> None:
        self.row = row
        self._policies = policies

    @classmethod
    def load(cls, blob: bytes | None, policies: Policies) -> ItemState:
        """The state as `dump` left it, or a new one."""
        return cls(empty_row() if blob is None else decode_row(blob), policies)

    def dump(self) -> bytes:
        """The state as bytes: the row itself."""
        return encode_row(self.row)

    def add(self, fact: Fact, stamp: Stamp) -> None:
        """Take one admitted fact."""
        _advance(self.row, stamp)
        start_ms = self._policies.bucket.start_of(stamp.received_at_ms)
        _fold_into(self.row, "item", fact, start_ms, self._policies.bucket)


def _advance(row: Row, stamp: Stamp) -> None:
    row.received_at_ms = max(row.received_at_ms, stamp.received_at_ms)
    row.offsets[stamp.partition] = max(row.offsets.get(stamp.partition, -1), stamp.offset)


def _fold_into(row: Row, entity: Entity, fact: Fact, start_ms: int, policy: BucketPolicy) -> None:
    """Add a fact to the state of its bucket; beyond `policy.kept` buckets the oldest is let go, and that is noted."""
    if start_ms < row.dropped_through_ms:
        return
    bucket = next((bucket for bucket in row.buckets if bucket.start_ms == start_ms), None)
    if bucket is None:
        bucket = BucketState(start_ms, {}, GENERATION)
        row.buckets = sorted([*row.buckets, bucket], key=lambda kept: kept.start_ms)
    for name, aggregate in folds_of(entity, fact.kind):
        known = bucket.states.get(name)
        state = aggregate.add(aggregate.zero() if known is None else known, fact, policy)
        if known is not None or state != aggregate.zero():
            bucket.states[name] = state
    while len(row.buckets) > policy.kept:
        row.dropped_through_ms = row.buckets.pop(0).start_ms + policy.period_ms


def _holds(ids: bytes, token: bytes) -> bool:
    """Whether `token` stands in `ids` at a multiple of its length."""
    at = ids.find(token)
    while at >= 0 and at % IDENTITY_BYTES:
        at = ids.find(token, at + 1)
    return at >= 0
