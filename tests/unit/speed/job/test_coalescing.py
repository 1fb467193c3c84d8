"""Which rows wait for a later one of their key. The clock is a number."""

from __future__ import annotations

import itertools
import random

import pytest

from speed.job.coalescing import LEAVES, WAITS, Coalescing, Turn

NOW = 1_750_000_000_000
PERIOD = 500
FRESH = 1_000
OLD = NOW - 7_200_000


def visitors() -> Coalescing:
    return Coalescing(PERIOD, FRESH)


def test_the_exact_age_is_fresh_and_one_beyond_is_not() -> None:
    coalescing = visitors()
    assert [coalescing.take(b"ada", NOW - FRESH, NOW) for _ in range(3)] == [LEAVES] * 3
    assert [coalescing.take(b"ada", NOW - FRESH - 1, NOW).leaves for _ in range(3)] == [True, False, False]


def test_a_record_from_a_clock_that_is_ahead_is_fresh() -> None:
    coalescing = visitors()
    assert [coalescing.take(b"ada", NOW + 60_000, NOW) for _ in range(3)] == [LEAVES] * 3


def test_the_first_row_leaves_at_once_however_old_and_the_second_waits_for_the_period() -> None:
    coalescing = visitors()
    assert coalescing.take(b"ada", OLD, NOW) == LEAVES
    assert coalescing.take(b"ada", OLD, NOW + 10) == Turn(leaves=False, wake_at_ms=NOW + PERIOD)


def test_only_the_first_row_that_waits_sets_a_timer() -> None:
    coalescing = visitors()
    coalescing.take(b"ada", OLD, NOW)
    coalescing.take(b"ada", OLD, NOW + 1)
    assert [coalescing.take(b"ada", OLD, NOW + ms) for ms in (2, 100, 499)] == [WAITS] * 3


def test_the_exact_period_lets_the_next_row_leave_and_one_less_does_not() -> None:
    for later_ms, leaves in ((PERIOD - 1, False), (PERIOD, True)):
        coalescing = visitors()
        coalescing.take(b"ada", OLD, NOW)
        assert coalescing.take(b"ada", OLD, NOW + later_ms).leaves is leaves


def test_the_timer_lets_the_last_row_leave_and_begins_a_period() -> None:
    coalescing = visitors()
    coalescing.take(b"ada", OLD, NOW)
    coalescing.take(b"ada", OLD, NOW + 10)
    assert coalescing.wake(b"ada", NOW + PERIOD)
    assert coalescing.take(b"ada", OLD, NOW + PERIOD + 1) == Turn(leaves=False, wake_at_ms=NOW + 2 * PERIOD)


def test_a_fresh_row_leaves_while_its_key_waits_and_the_timer_then_has_nothing_to_say() -> None:
    coalescing = visitors()
    coalescing.take(b"ada", OLD, NOW)
    coalescing.take(b"ada", OLD, NOW + 1)
    assert coalescing.take(b"ada", NOW, NOW + 2) == LEAVES
    assert not coalescing.wake(b"ada", NOW + PERIOD)


def test_an_old_row_after_the_fresh_one_uses_the_timer_that_is_still_set() -> None:
    coalescing = visitors()
    coalescing.take(b"ada", OLD, NOW)
    coalescing.take(b"ada", OLD, NOW + 1)
    coalescing.take(b"ada", NOW, NOW + 2)
    assert coalescing.take(b"ada", OLD, NOW + 3) == WAITS
    assert coalescing.wake(b"ada", NOW + PERIOD)


def test_a_timer_of_a_key_that_nothing_is_known_of_lets_its_row_leave() -> None:
    assert visitors().wake(b"restored", NOW)


def test_keys_do_not_wait_for_each_other() -> None:
    coalescing = visitors()
    assert [coalescing.take(key, OLD, NOW) for key in (b"a", b"b")] == [LEAVES, LEAVES]


def test_a_clock_that_is_set_back_lets_no_row_wait_longer_than_a_period() -> None:
    coalescing = visitors()
    coalescing.take(b"ada", OLD, NOW)
    earlier = NOW - 3_600_000
    turn = coalescing.take(b"ada", OLD, earlier)
    assert turn.leaves or turn.wake_at_ms == earlier + PERIOD


def test_a_period_of_0_holds_nothing_back() -> None:
    coalescing = Coalescing(0, FRESH)
    assert [coalescing.take(b"ada", OLD, NOW) for _ in range(5)] == [LEAVES] * 5


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_the_last_row_leaves_and_no_key_has_two_old_rows_in_a_period(seed: int) -> None:
    generator, coalescing = random.Random(seed), visitors()
    timers: dict[bytes, int] = {}
    newest: dict[bytes, int] = {}
    left: dict[bytes, list[tuple[int, int]]] = {}
    now = NOW
    for number in range(600):
        now += generator.choice((0, 1, 7, 40, 900))
        for key, at_ms in sorted(timers.items(), key=lambda timer: timer[1]):
            if at_ms <= now:
                del timers[key]
                assert coalescing.wake(key, at_ms)
                left[key].append((at_ms, newest[key]))
        key = generator.choice((b"a", b"b", b"c"))
        newest[key] = number
        turn = coalescing.take(key, OLD, now)
        if turn.leaves:
            left.setdefault(key, []).append((now, number))
        elif turn.wake_at_ms is not None:
            assert key not in timers
            timers[key] = turn.wake_at_ms
    for key, at_ms in timers.items():
        assert coalescing.wake(key, at_ms)
        left[key].append((at_ms, newest[key]))
    for key, rows in left.items():
        assert rows[-1][1] == newest[key]
        instants = [at_ms for at_ms, _ in rows]
        assert all(later - earlier >= PERIOD for earlier, later in itertools.pairwise(instants))


def test_what_is_remembered_is_bounded_by_the_keys_of_two_periods() -> None:
    coalescing = visitors()
    for number in range(20_000):
        coalescing.take(f"visitor-{number}".encode(), OLD, NOW + number)
    assert len(coalescing) <= 2 * PERIOD
