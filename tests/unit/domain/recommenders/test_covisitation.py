"""The co-visitation against an obviously right slow version, and the edges one can follow by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domain.recommenders.covisitation import DAY_MS, Covisitation, CovisitationPolicy
from domain.recommenders.protocol import GAP, Session
from domain.recommenders.session_log import SessionLog
from domain.recommenders.stored import UnreadableModel

KETTLE, TEAPOT, CUP, SPADE, RAKE = range(5)
PLAIN = CovisitationPolicy(recency_decay_days=1e9, step_decay=1e9, backward_weight=0.5, normalisation_exponent=0.0)


def covisitation(*sessions: list[int], policy: CovisitationPolicy = PLAIN, threads: int = 1) -> Covisitation:
    return Covisitation.build(SessionLog.of((0, items) for items in sessions), 5, policy, threads=threads)


def slow_scores(log: SessionLog, items_count: int, policy: CovisitationPolicy, query: list[int]) -> list[float]:
    """The definition, pair by pair; rows are not cut."""
    rows = np.zeros((items_count, items_count))
    for number in range(len(log)):
        items = log.items[log.offsets[number] : log.offsets[number + 1]].tolist()
        age = (log.ended_at_ms.max() - log.ended_at_ms[number]) / DAY_MS
        for first in range(len(items)):
            for second in range(first + 1, min(len(items), first + 1 + policy.steps_max)):
                if items[first] == items[second]:
                    continue
                weight = np.exp(-(second - first - 1) / policy.step_decay) * np.exp(-age / policy.recency_decay_days)
                rows[items[first], items[second]] += weight
                rows[items[second], items[first]] += policy.backward_weight * weight
    scores = np.zeros(items_count)
    for position, item in enumerate(query[::-1][: policy.query_items_max]):
        factor = max(rows[item].sum(), 1e-9) ** -policy.normalisation_exponent
        scores += np.exp(-position / policy.query_decay_positions) * factor * rows[item]
    return scores.tolist()


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_equal_those_of_the_definition(threads: int) -> None:
    generator = np.random.default_rng(threads)
    log = SessionLog.of((int(generator.integers(9)) * DAY_MS, generator.integers(0, 30, 9).tolist()) for _ in range(80))
    policy = CovisitationPolicy(steps_max=4, recency_decay_days=5.0)
    model = Covisitation.build(log, 30, policy, threads=threads)
    for _ in range(20):
        query = generator.integers(0, 30, 3).tolist()
        ranking = model.rank(Session(tuple(query)), 30)
        expected = np.array(slow_scores(log, 30, policy, query))
        np.testing.assert_allclose(ranking.scores, expected[ranking.items], rtol=1e-5)
        assert len(ranking) == (expected > 0).sum()
        assert (np.diff(ranking.scores) <= 0).all()


def test_what_came_after_counts_more_than_what_came_before() -> None:
    model = covisitation([TEAPOT, KETTLE, CUP])
    assert model.rank(Session((KETTLE,)), 5).items.tolist() == [CUP, TEAPOT]


def test_a_row_keeps_its_best_neighbours_only() -> None:
    policy = CovisitationPolicy(neighbours_max=1, recency_decay_days=1e9)
    model = covisitation([KETTLE, CUP], [KETTLE, CUP], [KETTLE, RAKE], policy=policy)
    assert model.rank(Session((KETTLE,)), 5).items.tolist() == [CUP]


def test_pairs_age_one_by_one_when_their_instants_are_given() -> None:
    log = SessionLog.of([(9 * DAY_MS, [KETTLE, CUP, KETTLE, RAKE])])
    policy = CovisitationPolicy(steps_max=1, recency_decay_days=1.0)
    at_ms = np.array([0, 1, 9, 9], np.int64) * DAY_MS
    items = Covisitation.build(log, 5, policy, at_ms=at_ms).rank(Session((KETTLE,)), 5).items
    assert items.tolist() == [RAKE, CUP]


def test_gaps_unknown_items_and_empty_sessions_get_no_answer() -> None:
    model = covisitation([KETTLE, CUP])
    for session in (Session(()), Session((GAP,)), Session((99,)), Session((SPADE,))):
        assert len(model.rank(session, 5)) == 0
    assert len(covisitation().rank(Session((KETTLE,)), 5)) == 0
    assert len(model.rank(Session((KETTLE,)), 0)) == 0


def test_what_was_saved_answers_alike(tmp_path: Path) -> None:
    model = covisitation([KETTLE, CUP, RAKE], [CUP, SPADE])
    model.save(tmp_path)
    loaded = Covisitation.load(tmp_path)
    asked = Session((KETTLE, CUP))
    assert loaded.policy == model.policy
    assert loaded.rank(asked, 5).items.tolist() == model.rank(asked, 5).items.tolist()
    (tmp_path / "covisitation.json").write_text("{")
    with pytest.raises(UnreadableModel):
        Covisitation.load(tmp_path)


@pytest.mark.parametrize("wrong", [{"steps_max": 0}, {"step_decay": 0.0}, {"backward_weight": -1.0}])
def test_a_policy_without_meaning_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        CovisitationPolicy(**wrong)  # type: ignore[arg-type]
