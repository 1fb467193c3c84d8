"""A breaker: while a dependency is down, ask it only now and then, so that nobody waits for it."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from schemas.errors import DependencyError

FAILURES_MAX: Final = 3
PAUSE_S: Final = 0.5


class Breaker:
    """Opens after `FAILURES_MAX` failures in a row; then one question every `PAUSE_S` is let through."""

    def __init__(self, dependency: str, remedy: str, clock: Callable[[], float] = monotonic) -> None:
        self.dependency = dependency
        self._remedy = remedy
        self._clock = clock
        self._failures = 0
        self._asked_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether the dependency counts as away."""
        return self._failures >= FAILURES_MAX

    def admit(self) -> None:
        """Raises DependencyError when it is not the time to ask."""
        now = self._clock()
        if self.is_open and now - self._asked_at < PAUSE_S:
            raise DependencyError(self.dependency, "has been failing", self._remedy)
        self._asked_at = now

    def succeed(self) -> None:
        """It answered."""
        self._failures = 0

    def fail(self, problem: object) -> DependencyError:
        """It did not; returns the error to raise."""
        self._failures += 1
        return DependencyError(self.dependency, str(problem) or type(problem).__name__, self._remedy)
