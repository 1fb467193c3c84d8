"""A keyed operator without Flink: a step, the pace at which its rows leave, and the end of its states."""

from __future__ import annotations

from collections import Counter
from typing import Final, Protocol

from speed.job.batches import NO_TIMER, Key, pack_answer, read_batch
from speed.job.coalescing import Coalescing
from speed.job.lifetime import Lifetime
from speed.job.records import TOMBSTONE, pack_record
from speed.job.steps import ItemStep, KeyedBytes, VisitorStep
from speed.tombstones import encode_offsets

CLEARED: Final = "cleared"
"""What is counted when a state goes."""


class Timers(Protocol):
    """Flink's timer service for the current key: one timer an instant, however often it is set."""

    def register_processing_time_timer(self, timestamp: int) -> None: ...


class KeyedOperator:
    """Takes the records of each key and answers with frames; empty when nothing leaves.

    Without `coalescing` every row leaves at once. Each key has at most two timers. The lowest bit of their instant
    tells them apart, across restarts too: an even one lets a row leave that waits, an odd one looks whether the state
    has reached its end.
    """

    def __init__(self, step: VisitorStep | ItemStep, coalescing: Coalescing | None, lifetime: Lifetime) -> None:
        self._step = step
        self._coalescing = coalescing
        self._lifetime = lifetime

    def run(self, raw: bytes, counts: Counter[str], now_ms: int) -> bytes:
        """The answer to one call from the JVM (see `speed.job.batches`)."""
        batch = read_batch(raw)
        keys = [Key(blob) for blob in batch.blobs]
        frames = []
        for entry in batch.entries:
            key = keys[entry.place]
            if entry.timer_at_ms == NO_TIMER:
                frames.append(self.take(entry.payload, key, key, counts, now_ms))
            else:
                frames.append(self.wake(entry.payload, entry.timer_at_ms, key, key, counts, now_ms))
        return pack_answer(keys, frames)

    def take(self, raw: bytes, state: KeyedBytes, timers: Timers, counts: Counter[str], now_ms: int) -> bytes:
        """The frame that follows from one record. Hops and dead letters are never held back."""
        taken = self._step.take(raw, state)
        for name in taken.counted:
            counts[name] += 1
        blob = taken.blob
        if blob is None:
            return taken.rest
        self._lifetime.advance(taken.received_at_ms)
        if taken.is_new:
            self._watch(taken.key, taken.received_at_ms, timers, now_ms)
        if self._coalescing is None:
            return self._pack(taken.key, blob) + taken.rest
        turn = self._coalescing.take(taken.key, taken.received_at_ms, now_ms)
        if turn.leaves:
            return self._pack(taken.key, blob) + taken.rest
        if turn.wake_at_ms is not None:
            timers.register_processing_time_timer((turn.wake_at_ms + 1) & ~1)
        return taken.rest

    def wake(
        self, key: bytes, at_ms: int, state: KeyedBytes, timers: Timers, counts: Counter[str], now_ms: int
    ) -> bytes:
        """The frame that follows from a timer that was set for `at_ms`."""
        is_for_row = at_ms % 2 == 0
        if is_for_row and self._coalescing is not None and not self._coalescing.wake(key, now_ms):
            return b""
        blob = state.value()
        if blob is None:
            return b""
        if is_for_row:
            return self._pack(key, blob)
        row = self._step.row_in(blob)
        if not self._lifetime.is_over(row.received_at_ms):
            self._watch(key, row.received_at_ms, timers, now_ms)
            return b""
        state.clear()
        counts[CLEARED] += 1
        return pack_record(self._step.row_tag | TOMBSTONE, key, encode_offsets(row.offsets))

    def _watch(self, key: bytes, received_at_ms: int, timers: Timers, now_ms: int) -> None:
        timers.register_processing_time_timer(self._lifetime.wakes_at_ms(key, received_at_ms, now_ms) | 1)

    def _pack(self, key: bytes, blob: bytes) -> bytes:
        return pack_record(self._step.row_tag, key, self._step.encoded_row(blob))
