"""How the minutes that a run may take are shared out. Time only chooses how much is tried, never what is computed."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

SHARE_USABLE = 0.92
"""Of the minutes given; what is left is for starting, compiling and writing."""
SHARE_TO_REBUILD = 0.55
"""Of what is left, what the trainings after the cut are kept at most."""


class Budget:
    """A clock with a list of what each step took."""

    def __init__(self, minutes: float) -> None:
        self.total_s = minutes * 60 * SHARE_USABLE
        self.seconds: dict[str, float] = {}
        self.reserved_s = 0.0  # for what must be done at the end, however long the rest takes
        self.rebuild_s = 0.0  # what the trainings after the cut are expected to take
        self._started = time.perf_counter()

    @property
    def spent_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    @property
    def left_s(self) -> float:
        """Seconds that may still be used and are not reserved; never below 0."""
        return max(self.total_s - self.spent_s - self.reserved_s, 0.0)

    @property
    def to_learn_s(self) -> float:
        """Seconds of these for learning from the questions."""
        return self.left_s - min(self.rebuild_s, SHARE_TO_REBUILD * self.left_s)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a step."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 2)


def peak_memory_mb() -> int:
    """The most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
