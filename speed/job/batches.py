"""The bytes of one call into Python: records and timers of many keys, with the keys' states, and what follows.

The other side is `java/firth/BatchingOperator.java`, which says what the bytes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import msgspec

NO_TIMER: Final = -1

_COUNT: Final = Struct("<I")
_STATE: Final = Struct("<Ii")
_TIMER: Final = Struct("<Iq")
_CLEARED: Final = -1


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A record of the key whose state has this place; or, unless it is NO_TIMER, the instant of a timer of the key."""

    place: int
    timer_at_ms: int
    payload: bytes


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one call is about. A key's entries are in their order."""

    blobs: list[bytes | None]
    entries: list[Entry]


class Key:
    """What Flink keeps of one key, while a batch lasts: its state, and the timers that are set meanwhile."""

    __slots__ = ("_blob", "is_changed", "timers")

    def __init__(self, blob: bytes | None) -> None:
        self._blob = blob
        self.is_changed = False
        self.timers: list[int] = []

    def value(self) -> bytes | None:
        """The state; None when there is none."""
        return self._blob

    def update(self, blob: bytes, /) -> None:
        """Replace the state."""
        self._blob = blob
        self.is_changed = True

    def clear(self) -> None:
        """Remove the state."""
        self._blob = None
        self.is_changed = True

    def register_processing_time_timer(self, timestamp: int) -> None:
        """Have Flink send the key with this instant when it has come."""
        self.timers.append(timestamp)


_BATCHES: Final = msgspec.msgpack.Decoder(Batch)
_ENCODER: Final = msgspec.msgpack.Encoder()


def read_batch(raw: bytes) -> Batch:
    """The batch that the operator packed."""
    return _BATCHES.decode(raw)


def pack_batch(batch: Batch) -> bytes:
    """What the operator packs, for tests without a JVM."""
    return _ENCODER.encode(batch)


def pack_answer(keys: Sequence[Key], frames: Sequence[bytes]) -> bytes:
    """What follows from a batch: changed states and new timers, by the places of their keys, and the frames in one."""
    states: list[bytes] = []
    timers: list[bytes] = []
    changed = 0
    for place, key in enumerate(keys):
        if key.is_changed:
            changed += 1
            blob = key.value()
            states += (_STATE.pack(place, _CLEARED),) if blob is None else (_STATE.pack(place, len(blob)), blob)
        timers += [_TIMER.pack(place, at_ms) for at_ms in key.timers]
    return b"".join((_COUNT.pack(changed), *states, _COUNT.pack(len(timers)), *timers, *frames))


def read_answer(raw: bytes) -> tuple[dict[int, bytes | None], list[tuple[int, int]], bytes]:
    """States by place (None: cleared), (place, instant) of each timer, frame: what the operator reads, for tests."""
    blobs: dict[int, bytes | None] = {}
    (changed,), at = _COUNT.unpack_from(raw), _COUNT.size
    for _ in range(changed):
        place, length = _STATE.unpack_from(raw, at)
        at += _STATE.size
        blobs[place] = None if length == _CLEARED else raw[at : at + length]
        at += max(length, 0)
    (count,), at = _COUNT.unpack_from(raw, at), at + _COUNT.size
    timers = [_TIMER.unpack_from(raw, at + index * _TIMER.size) for index in range(count)]
    return blobs, timers, raw[at + count * _TIMER.size :]
