"""Whether the stream keeps up, told by what this server itself has sent into it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

PATIENCE_MS: Final = 10_000
REMEMBERED: Final = 10_000


class _Sent(NamedTuple):
    received_at_ms: int  # Kafka's clock, which the stream's rows carry
    noticed_at_ms: int  # ours


class StreamPulse:
    """Knows the oldest accepted interaction after which the stream has written nothing.

    An interaction that the stream admits changes an item's state, and that row carries its receipt. So when none as new
    has come `PATIENCE_MS` after Kafka took the interaction, the speed job is away or behind. An interaction that this
    server has seen before proves nothing, because the stream drops duplicates; one that was first sent elsewhere, or
    that the stream refuses as a flood, is taken for a silence until the next one comes through.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._written_ms = 0
        self._waiting: _Sent | None = None
        self._newest: _Sent | None = None
        self._known: set[str] = set()
        self._order: deque[str] = deque()

    def note_accepted(self, event_ids: Iterable[str], received_at_ms: int) -> None:
        """Kafka has taken these interactions, the last one then."""
        with self._lock:
            if not self._remember(event_ids) or received_at_ms <= self._written_ms:
                return
            self._newest = _Sent(received_at_ms, self._now_ms())
            self._waiting = self._waiting or self._newest

    def note_written(self, received_at_ms: int) -> None:
        """A row of the stream has come that includes an interaction of then."""
        with self._lock:
            self._written_ms = max(self._written_ms, received_at_ms)
            if self._waiting is not None and self._waiting.received_at_ms <= self._written_ms:
                is_behind = self._newest is not None and self._newest.received_at_ms > self._written_ms
                self._waiting = self._newest if is_behind else None

    def is_silent(self, asked_at_ms: int) -> bool:
        """Whether an accepted interaction has waited for too long."""
        waiting = self._waiting
        return waiting is not None and asked_at_ms - waiting.noticed_at_ms > PATIENCE_MS

    def _remember(self, event_ids: Iterable[str]) -> bool:
        """Whether one of them is new here."""
        new = [event_id for event_id in event_ids if event_id not in self._known]
        self._known.update(new)
        self._order.extend(new)
        while len(self._order) > REMEMBERED:
            self._known.discard(self._order.popleft())
        return bool(new)
