"""The visitor who is folded in, against the normal equations written out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domain.recommenders.best import best_of_all
from domain.recommenders.long_term_taste import POLICY_FILE, LongTermTaste, TastePolicy
from domain.recommenders.protocol import GAP, Session
from domain.recommenders.stored import UnreadableModel

WIDTH, ITEMS = 5, 40
UNSEEN = 7
POLICY = TastePolicy(confidence=3.0, regularisation=0.1, history_items_max=6)


def taste_model(policy: TastePolicy = POLICY) -> LongTermTaste:
    factors = np.random.default_rng(2).normal(size=(ITEMS, WIDTH)).astype(np.float32)
    factors[UNSEEN] = 0
    return LongTermTaste(factors, policy)


def slow_taste(model: LongTermTaste, weights: dict[int, float]) -> np.ndarray:
    """Confidence and preference of the whole catalogue, item by item: Hu, Koren and Volinsky, equation 4."""
    left = POLICY.regularisation * len(weights) * np.eye(WIDTH)
    right = np.zeros(WIDTH)
    for item, factors in enumerate(model.factors.astype(np.float64)):
        confidence = 1 + POLICY.confidence * weights.get(item, 0.0)
        left += confidence * np.outer(factors, factors)
        right += confidence * (item in weights) * factors
    return np.linalg.solve(left, right)


def test_the_taste_solves_the_normal_equations() -> None:
    model = taste_model()
    expected = model.factors @ slow_taste(model, {3: 2.0, 9: 1.0, 30: 1.0})
    session = Session((3, 9, GAP, 3, 30, UNSEEN))
    everything = np.arange(ITEMS, dtype=np.int32)
    np.testing.assert_allclose(model.scores(session, everything), expected, rtol=1e-4, atol=1e-6)
    ranking = model.rank(session, 10)
    assert ranking.items.tolist() == np.argsort(-expected, kind="stable")[:10].tolist()


def test_only_the_newest_items_of_a_long_history_count() -> None:
    model = taste_model()
    newest = (1, 2, 3, 4, 5, 6)
    assert model.rank(Session((20, 21, *newest)), 5).items.tolist() == model.rank(Session(newest), 5).items.tolist()


def test_with_a_decay_what_is_newer_weighs_more() -> None:
    model = taste_model(TastePolicy(confidence=3.0, decay_positions=0.5))
    here, there = np.array([4], np.int32), np.array([12], np.int32)
    old_first, new_first = Session((4, 12)), Session((12, 4))
    assert model.scores(old_first, there)[0] > model.scores(new_first, there)[0]
    assert model.scores(new_first, here)[0] > model.scores(old_first, here)[0]


def test_nothing_known_is_no_taste_and_what_nobody_had_is_never_ranked() -> None:
    model = taste_model()
    for session in (Session(()), Session((GAP, UNSEEN)), Session((ITEMS + 3,))):
        assert len(model.rank(session, 5)) == 0
        assert model.scores(session, np.array([1, 2], np.int32)).tolist() == [0, 0]
    everything = model.rank(Session((1,)), ITEMS)
    assert len(everything) == ITEMS - 1
    assert UNSEEN not in everything.items


def test_a_model_of_no_items_answers_nothing() -> None:
    assert len(LongTermTaste(np.empty((0, WIDTH), np.float32)).rank(Session((1,)), 5)) == 0


def test_what_was_saved_answers_alike(tmp_path: Path) -> None:
    model = taste_model()
    model.save(tmp_path)
    loaded = LongTermTaste.load(tmp_path)
    assert loaded.policy == model.policy
    assert loaded.rank(Session((3, 9)), 9).scores.tolist() == model.rank(Session((3, 9)), 9).scores.tolist()
    (tmp_path / POLICY_FILE).write_text('{"confidence": 0}')
    with pytest.raises(UnreadableModel):
        LongTermTaste.load(tmp_path)


@pytest.mark.parametrize("change", [{"confidence": 0.0}, {"regularisation": -1.0}, {"decay_positions": -1.0}])
def test_a_policy_without_a_solution_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        TastePolicy(**change)  # type: ignore[arg-type]


def test_of_equal_scores_the_lower_ids_are_the_best() -> None:
    scores = np.array([1, 2, 1, 1, -np.inf, 2], np.float32)
    assert best_of_all(scores, 4).items.tolist() == [1, 5, 0, 2]
    assert best_of_all(scores, 9).items.tolist() == [1, 5, 0, 2, 3]
    assert len(best_of_all(scores, 0)) == 0
