"""Which rows leave at once, and which wait for a later one of their key."""

from __future__ import annotations

from typing import Final, NamedTuple


class Turn(NamedTuple):
    """What to do with a row: it leaves, or its key waits; with `wake_at_ms` a timer must be set for it."""

    leaves: bool
    wake_at_ms: int | None


LEAVES: Final = Turn(leaves=True, wake_at_ms=None)
WAITS: Final = Turn(leaves=False, wake_at_ms=None)


class Coalescing:
    """At most one row a key in `period_ms`. The first leaves at once, and the last always leaves, if need be by timer.

    A row that is at most `fresh_ms` old is never held back. Waiting costs one timer a key
    and period, and a key of which no second row comes costs none. What is remembered is bounded: keys that wait are
    forgotten when their timer wakes them, and the others after two periods.

    Nothing of this is part of a checkpoint; the timers are. A timer of a key of which nothing is known is therefore one
    from before a restart, and its row leaves: it may be the last of its key.
    """

    def __init__(self, period_ms: int, fresh_ms: int) -> None:
        self._period_ms = period_ms
        self._fresh_ms = fresh_ms
        self._waiting: dict[bytes, bool] = {}
        self._left: dict[bytes, int] = {}
        self._left_before: dict[bytes, int] = {}
        self._turned_at_ms = 0

    def take(self, key: bytes, received_at_ms: int, now_ms: int) -> Turn:
        """A new row of a key, made from a record that Kafka received at `received_at_ms`."""
        waiting = self._waiting
        if now_ms - received_at_ms <= self._fresh_ms:
            if key in waiting:
                waiting[key] = False
            return LEAVES
        if key in waiting:
            waiting[key] = True
            return WAITS
        left_at_ms = min(self._left.get(key) or self._left_before.get(key, 0), now_ms)  # the clock may be set back
        if now_ms - left_at_ms >= self._period_ms:
            self._note(key, now_ms)
            return LEAVES
        waiting[key] = True
        return Turn(leaves=False, wake_at_ms=left_at_ms + self._period_ms)

    def wake(self, key: bytes, now_ms: int) -> bool:
        """The timer of a key: whether its row leaves now."""
        leaves = self._waiting.pop(key, True)
        if leaves:
            self._note(key, now_ms)
        return leaves

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._waiting) + len(self._left) + len(self._left_before)

    def _note(self, key: bytes, now_ms: int) -> None:
        if not 0 <= now_ms - self._turned_at_ms < self._period_ms:
            self._left_before, self._left = self._left, {}
            self._turned_at_ms = now_ms
        self._left[key] = now_ms
