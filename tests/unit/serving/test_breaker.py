"""The breaker: nobody waits for what has been failing."""

from __future__ import annotations

import pytest

from schemas.errors import DependencyError
from serving.adapters.breaker import FAILURES_MAX, PAUSE_S, Breaker


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def failing(clock: Clock) -> Breaker:
    breaker = Breaker("redis", "start it", clock)
    for _ in range(FAILURES_MAX):
        breaker.admit()
        breaker.fail("gone")
    return breaker


def test_a_few_failures_open_it_and_then_nobody_is_let_through() -> None:
    breaker = failing(Clock())
    assert breaker.is_open
    with pytest.raises(DependencyError):
        breaker.admit()


def test_after_a_pause_one_question_is_let_through() -> None:
    clock = Clock()
    breaker = failing(clock)
    clock.now += PAUSE_S
    breaker.admit()
    with pytest.raises(DependencyError):
        breaker.admit()


def test_one_success_closes_it() -> None:
    clock = Clock()
    breaker = failing(clock)
    clock.now += PAUSE_S
    breaker.admit()
    breaker.succeed()
    breaker.admit()
    assert not breaker.is_open
