from __future__ import annotations

from domain.policies import SessionPolicy, TimelinePolicy
from domain.timeline import Timeline, Visit
from tests.builders import visit

GAP = SessionPolicy(gap_ms=1_000)
WIDE = TimelinePolicy(horizon_ms=10**9, visits_max=100)


def timeline(*visits: Visit, policy: TimelinePolicy = WIDE) -> Timeline:
    return Timeline(tuple(visits)).merge(Timeline(), policy)


def test_the_exact_gap_extends_and_one_beyond_opens() -> None:
    assert len(timeline(visit(0), visit(1_000)).current_session(GAP)) == 2
    assert len(timeline(visit(0), visit(1_001)).current_session(GAP)) == 1


def test_an_older_event_that_arrives_late_joins_two_sessions() -> None:
    split = timeline(visit(0), visit(1_800))
    assert len(split.current_session(GAP)) == 1
    assert len(split.add(visit(900), WIDE).current_session(GAP)) == 3


def test_a_change_of_the_declared_session_cuts() -> None:
    found = timeline(visit(0, session_id="a"), visit(1, session_id="b"), visit(2, session_id="b"))
    assert [one.session_id for one in found.current_session(GAP)] == ["b", "b"]


def test_a_visit_without_declared_session_does_not_cut() -> None:
    assert len(timeline(visit(0, session_id="a"), visit(1), visit(2, session_id="a")).current_session(GAP)) == 3


def test_an_empty_timeline_has_an_empty_session() -> None:
    assert Timeline().current_session(GAP) == ()


def test_the_exact_horizon_is_kept_and_one_beyond_is_not() -> None:
    policy = TimelinePolicy(horizon_ms=1_000, visits_max=100)
    assert len(timeline(visit(0), visit(1_000), policy=policy).visits) == 2
    assert len(timeline(visit(0), visit(1_001), policy=policy).visits) == 1


def test_a_visit_beyond_the_horizon_is_late_and_leaves_the_timeline_alone() -> None:
    policy = TimelinePolicy(horizon_ms=1_000, visits_max=100)
    newest = timeline(visit(5_000), policy=policy)
    assert newest.is_late(visit(3_999), policy)
    assert not newest.is_late(visit(4_000), policy)
    assert newest.add(visit(3_999), policy) == newest


def test_the_newest_visits_stay_when_there_are_too_many() -> None:
    policy = TimelinePolicy(horizon_ms=10**9, visits_max=2)
    assert timeline(visit(1), visit(2), visit(3), policy=policy).visits == (visit(2), visit(3))


def test_two_events_of_the_same_millisecond_both_stay() -> None:
    assert len(timeline(visit(1, "a"), visit(1, "b")).visits) == 2
