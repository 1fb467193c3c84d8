"""The kills: a promise of the seed, and within what a supervisor is asked to bear."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from infra.processes.restarts import RestartPolicy
from tests.chaos.schedule import KILLS_MAX, MOMENTS, SERVICE_OF, TARGETS, WINDOW_MS, kills, moments

MINUTE_MS = 60_000


@pytest.mark.parametrize("seed", range(20))
def test_a_short_run_kills_each_target_once_before_any_twice(seed: int) -> None:
    first = [kill.target for kill in kills(seed, 100_000)[: len(TARGETS)]]
    assert len(first) >= len(TARGETS) - 1
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("seed", range(20))
def test_no_service_dies_so_often_that_its_supervisor_would_give_up(seed: int) -> None:
    planned = kills(seed, 60 * MINUTE_MS)
    for last in planned:
        recent = Counter(SERVICE_OF[one.target] for one in planned if last.at_ms - WINDOW_MS < one.at_ms <= last.at_ms)
        assert max(recent.values()) <= KILLS_MAX
    assert RestartPolicy().restarts_max > KILLS_MAX
    assert RestartPolicy().window_ms <= WINDOW_MS


def test_a_long_run_kills_everything_again_and_again() -> None:
    planned = kills(7, 30 * MINUTE_MS)
    assert min(Counter(kill.target for kill in planned).values()) >= 3
    assert [kill.at_ms for kill in planned] == sorted(kill.at_ms for kill in planned)


def test_the_seed_decides_the_order() -> None:
    assert kills(7, 100_000) == kills(7, 100_000)
    assert kills(7, 100_000) != kills(8, 100_000)
    assert list(islice(moments(7), 20)) == list(islice(moments(7), 20))


def test_the_first_daily_run_is_killed_when_half_is_published_and_the_next_one_lives() -> None:
    first, second, *later = islice(moments(3), 40)
    assert (first, second) == ("half-published", None)
    assert {*later} == {None, *MOMENTS}
