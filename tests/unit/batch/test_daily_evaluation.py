"""The split and the queries of a run's evaluation."""

import numpy as np

from batch.evaluation import POLICIES, QUERIES_MAX, choose_policy, queries_of
from batch.training.session_log import DatedSessions
from domain.recommenders.session_log import SessionLog

HOUR_MS = 3_600_000


def sessions(*visited: tuple[int, int, tuple[int, ...]]) -> DatedSessions:
    """From (start, end, items)."""
    log = SessionLog.of((end, items) for _, end, items in visited)
    return DatedSessions(log, np.array([start for start, _, _ in visited], np.int64))


def repeated(pairs: int, items: tuple[int, ...] = (0, 1, 2)) -> DatedSessions:
    return sessions(*((at * HOUR_MS, at * HOUR_MS + 1, items) for at in range(pairs)))


def test_every_place_but_the_first_is_a_query_with_what_came_before_it() -> None:
    found = queries_of(sessions((0, 1, (7, 8, 9)), (5, 6, (3, 4))), np.random.default_rng(0))
    assert [(query.session_key, query.prefix.items, query.target, query.rest) for query in found] == [
        (0, (7,), 8, (8, 9)),
        (0, (7, 8), 9, (9,)),
        (1, (3,), 4, (4,)),
    ]


def test_no_more_queries_are_drawn_than_the_bound_and_always_the_same() -> None:
    long = sessions((0, 1, tuple(range(QUERIES_MAX * 2))))
    drawn = queries_of(long, np.random.default_rng(5))
    assert len(drawn) == QUERIES_MAX
    assert drawn == queries_of(long, np.random.default_rng(5))


def test_the_policy_is_chosen_without_a_look_at_the_sessions_that_are_reported_on() -> None:
    history = [(at * HOUR_MS, at * HOUR_MS + 1, (at % 5, at % 5 + 5, at % 5 + 10)) for at in range(90)]
    news = [(at * HOUR_MS, at * HOUR_MS + 1, (20, 21, 22)) for at in range(90, 100)]
    other = [(at * HOUR_MS, at * HOUR_MS + 1, (30, 31, 32)) for at in range(90, 100)]
    chosen = choose_policy(sessions(*history, *news), 40)
    assert chosen == choose_policy(sessions(*history, *other), 40)
    assert chosen[0] == max(chosen[1], key=lambda name: chosen[1][name])
    assert chosen[1].keys() == POLICIES.keys()


def test_a_log_too_small_to_choose_by_gets_the_default() -> None:
    assert choose_policy(repeated(1), 3) == choose_policy(repeated(2), 3) == ("short_sessions", {})
