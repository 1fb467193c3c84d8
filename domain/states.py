"""What the stream keeps of a key: mergeable, bounded, and self-describing enough to be finished elsewhere.

`VisitorState` admits records and folds them; `ItemState` folds the facts that a visitor's state admitted. What leaves
on the changelog (`row`) is the state itself without the remembered event ids: readers finish the features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, cast

import msgspec

from domain.aggregates.alike import groups_of_alike
from domain.encoded_timeline import TimelineIndex
from domain.facts import IDENTITY_BYTES, Fact, Stamp, identity, to_fact
from domain.hops import Hop
from domain.policies import Policies
from domain.rows import OpenRow, Row, decode_row, encode_row, open_row
from domain.timeline import to_visit
from schemas.errors import Reason, RejectedEvent
from schemas.events import InteractionEvent

Seen = dict[int, dict[int, bytes]]
"""By partition and bucket, the identities of the events that were seen there, one after the other."""


class _Visitor(msgspec.Struct, array_like=True):
    """A visitor's row, and what its state remembers beyond it."""

    row: OpenRow
    seen: Seen
    timeline: TimelineIndex


_HEAD: Final = Struct("<IB")
"""A dumped visitor's state is the length of its row, and a `_Visitor`, which begins with a byte and the row."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_VISITORS: Final = msgspec.msgpack.Decoder(_Visitor)
_VISITOR_BYTE: Final = _ENCODER.encode(_Visitor(open_row(None), {}, TimelineIndex()))[0]


def encoded_row(blob: bytes) -> bytes:
    """The changelog value that stands in a dumped visitor's state: cut out, without decoding or encoding it again."""
    return blob[_HEAD.size : _HEAD.size + _HEAD.unpack_from(blob)[0]]


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

    __slots__ = ("_policies", "_visitor")

    def __init__(self, visitor: _Visitor, policies: Policies) -> None:
        self._visitor = visitor
        self._policies = policies

    @classmethod
    def load(cls, blob: bytes | None, policies: Policies) -> VisitorState:
        """The state as `dump` left it, or a new one."""
        if blob is None:
            return cls(_Visitor(open_row(None), {}, TimelineIndex()), policies)
        return cls(_VISITORS.decode(memoryview(blob)[_HEAD.size - 1 :]), policies)

    def dump(self) -> bytes:
        """The state as bytes; `load(dump())` behaves alike for every later record."""
        visitor = self._visitor
        row = encode_row(visitor.row)
        rest = _ENCODER.encode(visitor.seen), _ENCODER.encode(visitor.timeline)
        return b"".join((_HEAD.pack(len(row), _VISITOR_BYTE), row, *rest))

    @property
    def row(self) -> Row:
        """The changelog value as it stands now, decoded: a copy."""
        return decode_row(encode_row(self._visitor.row))

    def observe(self, event: InteractionEvent, stamp: Stamp) -> Outcome:
        """Take one screened record.

        Raises:
            RejectedEvent: `flood`, when the visitor's bucket is full; the offset counts as taken all the same.
        """
        start_ms = self._policies.bucket.start_of(stamp.received_at_ms)
        self._visitor.row.advance(stamp)
        fact = to_fact(event, stamp.received_at_ms)
        if self._was_seen(identity(event.event_id), stamp.partition, start_ms):
            return Duplicate()
        if not event.personalise:
            return Admitted(fact, is_late=False)
        return Admitted(fact, is_late=self._fold(fact, start_ms))

    def _fold(self, fact: Fact, start_ms: int) -> bool:
        row, timeline, policy = self._visitor.row, self._visitor.timeline, self._policies.timeline
        row.add("visitor", fact, start_ms, self._policies.bucket)
        visit = to_visit(fact)
        is_late = timeline.is_late(visit, policy)
        row.visits = timeline.add(row.visits, visit, policy)
        return is_late

    def _was_seen(self, token: bytes, partition: int, start_ms: int) -> bool:
        """Whether an event was seen in its own or the previous `dedup` buckets; from now on it was.

        What was merely seen counts, admitted or not, so that the answer depends on these buckets alone and a rebuild
        that begins with the first of them gives it too. A full bucket remembers no more.
        """
        seen, bucket = self._visitor.seen.setdefault(partition, {}), self._policies.bucket
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

    __slots__ = ("_policies", "_row")

    def __init__(self, row: OpenRow, policies: Policies) -> None:
        self._row = row
        self._policies = policies

    @classmethod
    def load(cls, blob: bytes | None, policies: Policies) -> ItemState:
        """The state as `dump` left it, or a new one."""
        return cls(open_row(blob), policies)

    def dump(self) -> bytes:
        """The state as bytes: the row itself."""
        return encode_row(self._row)

    @property
    def row(self) -> Row:
        """The changelog value as it stands now, decoded: a copy."""
        return decode_row(encode_row(self._row))

    def begin(self, before: Mapping[int, int]) -> None:
        """The state is new, and includes all records up to these offsets."""
        self._row.offsets.update(before)

    def add(self, fact: Fact, stamp: Stamp) -> None:
        """Take one admitted fact."""
        self._row.advance(stamp)
        start_ms = self._policies.bucket.start_of(stamp.received_at_ms)
        self._row.add("item", fact, start_ms, self._policies.bucket)

    def add_hops(self, hops: Sequence[Hop]) -> None:
        """Take admitted facts that have hopped here: as if each were added by itself."""
        policy = self._policies.bucket
        for hop in hops:
            self._row.advance(hop)
        for alike in groups_of_alike(cast(Sequence[Fact], hops), policy):
            self._row.add_alike("item", alike, policy.start_of(alike[0].received_at_ms), policy)


def _holds(ids: bytes, token: bytes) -> bool:
    """Whether `token` stands in `ids` at a multiple of its length."""
    at = ids.find(token)
    while at >= 0 and at % IDENTITY_BYTES:
        at = ids.find(token, at + 1)
    return at >= 0
