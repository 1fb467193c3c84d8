"""What Flink gives a keyed operator, in memory: the state of one key, and its timers."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Memory:
    """The state of one key."""

    blob: bytes | None = None

    def value(self) -> bytes | None:
        return self.blob

    def update(self, blob: bytes) -> None:
        self.blob = blob

    def clear(self) -> None:
        self.blob = None


@dataclass
class Timers:
    """The timers of one key: one an instant, however often it is set."""

    due: set[int] = field(default_factory=set)

    def register_processing_time_timer(self, timestamp: int) -> None:
        self.due.add(timestamp)

    def take_due(self, now_ms: int) -> list[int]:
        """The timers whose time has come; each fires once."""
        fired = sorted(at_ms for at_ms in self.due if at_ms <= now_ms)
        self.due -= set(fired)
        return fired
