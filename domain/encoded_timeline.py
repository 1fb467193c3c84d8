"""A timeline as it is encoded: a newest visit is added without decoding the others."""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from domain.policies import TimelinePolicy
from domain.timeline import Timeline, Visit

_LENGTH: Final = Struct("<H")
"""A visit's encoding is bounded by the contract of events far below 64 KiB: 16 categories of 64 characters."""

_FIXARRAY_MAX: Final = 15
_ENCODER: Final = msgspec.msgpack.Encoder()
_TIMELINES: Final = msgspec.msgpack.Decoder(tuple[Visit, ...])


class _Instant(msgspec.Struct, array_like=True):
    """The beginning of an encoded visit."""

    occurred_at_ms: int


_INSTANTS: Final = msgspec.msgpack.Decoder(_Instant)


class TimelineIndex(msgspec.Struct, array_like=True):
    """What must be known of an encoded timeline to add to it: the visits' lengths, and where it begins and ends."""

    lengths: bytes = b""
    oldest_at_ms: int = 0
    newest_at_ms: int = 0
    newest_event_id: str = ""

    def is_late(self, visit: Visit, policy: TimelinePolicy) -> bool:
        """`Timeline.is_late`."""
        return bool(self.lengths) and visit.occurred_at_ms < self.newest_at_ms - policy.horizon_ms

    def add(self, encoded: bytes, visit: Visit, policy: TimelinePolicy) -> bytes:
        """The encoded timeline with one more visit, as `Timeline.add` has it."""
        if self.lengths and (visit.occurred_at_ms, visit.event_id) <= (self.newest_at_ms, self.newest_event_id):
            return self._add_earlier(encoded, visit, policy)
        added = _ENCODER.encode(visit)
        if not self.lengths:
            self.oldest_at_ms = visit.occurred_at_ms
        count = len(self.lengths) // 2 + 1
        self.lengths += _LENGTH.pack(len(added))
        self.newest_at_ms, self.newest_event_id = visit.occurred_at_ms, visit.event_id
        start = _header_bytes(count - 1)
        if count > policy.visits_max or self.oldest_at_ms < visit.occurred_at_ms - policy.horizon_ms:
            count, start = self._cut(encoded, visit, policy)
        return b"".join((_header(count), memoryview(encoded)[start:], added))

    def _cut(self, encoded: bytes, visit: Visit, policy: TimelinePolicy) -> tuple[int, int]:
        """How many visits are kept, with the one that was added, and where the oldest of them begins."""
        count, dropped = len(self.lengths) // 2, 0
        start = _header_bytes(count - 1)
        visits = memoryview(encoded)
        oldest_kept_at_ms = visit.occurred_at_ms - policy.horizon_ms
        while count - dropped > policy.visits_max or self.oldest_at_ms < oldest_kept_at_ms:
            start += _LENGTH.unpack_from(self.lengths, 2 * dropped)[0]
            dropped += 1
            if dropped == count - 1:
                self.oldest_at_ms = visit.occurred_at_ms
                break
            end = start + _LENGTH.unpack_from(self.lengths, 2 * dropped)[0]
            self.oldest_at_ms = _INSTANTS.decode(visits[start:end]).occurred_at_ms
        self.lengths = self.lengths[2 * dropped :]
        return count - dropped, start

    def _add_earlier(self, encoded: bytes, visit: Visit, policy: TimelinePolicy) -> bytes:
        """A visit that happened before the newest one finds its place among them all."""
        if self.is_late(visit, policy):
            return encoded
        visits = Timeline(_TIMELINES.decode(encoded)).add(visit, policy).visits
        encodings = [_ENCODER.encode(one) for one in visits]
        self.lengths = b"".join(_LENGTH.pack(len(one)) for one in encodings)
        self.oldest_at_ms = visits[0].occurred_at_ms
        self.newest_at_ms, self.newest_event_id = visits[-1].occurred_at_ms, visits[-1].event_id
        return b"".join((_header(len(visits)), *encodings))


def _header(count: int) -> bytes:
    """The head of an array in MessagePack."""
    return bytes((0x90 | count,)) if count <= _FIXARRAY_MAX else b"\xdc" + count.to_bytes(2, "big")


def _header_bytes(count: int) -> int:
    return 1 if count <= _FIXARRAY_MAX else 3
