"""What is learnt from questions: policies by search, sums by grid, trees by halves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from batch.ranking.budget import Budget
from batch.ranking.fusion import _decide, _Decided, _fitted
from batch.ranking.history import Questions
from batch.ranking.linear import fit_linear
from batch.ranking.lineup import Choice
from batch.ranking.measures import Measured, measure
from batch.ranking.ranker import Examples, K, RankerPolicy, best_policy, fit, judge_by_halves
from batch.ranking.search import coordinate_search
from domain.recommenders.lineup.candidates import Lineup, Table
from domain.recommenders.lineup.fusion import Fusion, best_of
from domain.recommenders.lineup.linear import LinearFusion
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.mlp import Mlp

CANDIDATES = 12
NAMES = ("good_score_of_highest", "poor_score_of_highest", "hidden", "query_length")
POLICY = RankerPolicy(trees_max=40, rows_per_leaf_min=5, threads=1)


@dataclass(frozen=True)
class Point:
    x: float = 0.0
    y: float = 0.0


def moved(point: Point, name: str, value: float) -> Point:
    return replace(point, **{name: value})


def height(point: Point) -> float:
    return -((point.x - 2) ** 2) - (point.y + 1) ** 2 + 0.1 * point.x * point.y


def test_the_search_goes_from_the_best_start_to_the_top_of_the_grid() -> None:
    grid = {"x": (0.0, 1.0, 2.0, 3.0), "y": (-2.0, -1.0, 0.0)}
    starts = [Point(), Point(3.0, 0.0)]
    generator = np.random.default_rng(1)
    found = coordinate_search(starts, grid, moved, height, seconds_max=60, generator=generator)
    assert found.policy == max((Point(x, y) for x in grid["x"] for y in grid["y"]), key=height)
    assert found.is_complete
    assert found.score == height(found.policy)


def test_without_time_the_first_start_is_kept() -> None:
    generator = np.random.default_rng(1)
    found = coordinate_search([Point(), Point(2.0)], {"x": (5.0,)}, moved, height, seconds_max=0, generator=generator)
    assert found.policy == Point()
    assert found.trials == 1
    assert not found.is_complete


def examples(count: int = 400, longer: float = 0.0) -> Examples:
    """Questions whose answer has the highest sum of a seen and a hidden signal.

    Their sessions have one item; of the share `longer` they have nine, and there the poor signal is the good one.
    """
    generator = np.random.default_rng(6)
    candidates = np.stack([generator.permutation(100)[:CANDIDATES] for _ in range(count)]).astype(np.int32)
    features = generator.random((count, CANDIDATES, len(NAMES))).astype(np.float32)
    is_long = np.arange(count) < longer * count
    features[:, :, 3] = np.where(is_long, 9, 1)[:, None]
    answer = (np.where(is_long[:, None], features[:, :, 1], features[:, :, 0]) + features[:, :, 2]).argmax(axis=1)
    queries = Queries.of([[0] * length for length in features[:, 0, 3].astype(int)])
    relevant = candidates[np.arange(count), answer]
    asked = Questions(queries, np.arange(count + 1), relevant, np.arange(count) // 3)
    half = count // 2
    tables = [Table(candidates[:half], features[:half], NAMES), Table(candidates[half:], features[half:], NAMES)]
    return Examples.of(tables, asked)


def test_a_question_teaches_when_its_answer_is_among_its_candidates() -> None:
    whole = examples(10)
    assert whole.can_teach.all()
    assert whole.labels.sum() == 10
    asked = whole.questions
    other = Questions(asked.queries, asked.relevant_offsets, np.full(10, 101, np.int32), asked.owners)
    assert not replace(whole, labels=np.zeros_like(whole.labels), questions=other).can_teach.any()


def test_the_sum_prefers_the_source_that_tells() -> None:
    weights = dict(fit_linear(examples()).by_length[-1][1])
    assert weights["good_score_of_highest"] > weights["poor_score_of_highest"]
    assert "hidden" not in weights


def test_each_length_of_session_has_the_weights_that_suit_it() -> None:
    both = fit_linear(examples(800, longer=0.5)).by_length
    short, _, long = (dict(weights) for _, weights in both)
    assert [longest for longest, _ in both] == [1, 4, None]
    assert short["good_score_of_highest"] > short["poor_score_of_highest"]
    assert long["good_score_of_highest"] < long["poor_score_of_highest"]
    whole = examples(800, longer=0.5)
    everywhere = LinearFusion.of(both[0][1])
    by_length = measure(whole.ranked(fit_linear(whole).scores(whole.rows, NAMES)), whole.questions)
    assert by_length.score > measure(whole.ranked(everywhere.scores(whole.rows, NAMES)), whole.questions).score


def test_trees_of_one_half_answer_the_other_better_than_the_sum() -> None:
    whole = examples()
    judged = judge_by_halves(whole, POLICY)
    linear = whole.ranked(fit_linear(whole).scores(whole.rows, whole.names))
    assert (
        measure(judged.ranked, whole.questions).reciprocal_rank > measure(linear, whole.questions).reciprocal_rank + 0.1
    )
    assert judged.trees == 40


def test_without_time_only_the_first_trees_are_grown() -> None:
    judged = judge_by_halves(examples(100), POLICY, seconds_max=0)
    assert judged.trees == 10
    assert list(judged.by_trees) == [10]


def test_of_two_policies_the_one_that_answers_better_is_taken_and_without_time_the_first() -> None:
    whole = examples(200)
    poor = replace(POLICY, trees_max=1)
    assert best_policy(whole, [poor, POLICY])[0] == POLICY
    assert best_policy(whole, [POLICY, poor])[0] == POLICY
    assert best_policy(whole, [poor, POLICY], seconds_max=0)[0] == poor


def test_what_was_asked_earlier_teaches_and_is_not_judged() -> None:
    few = examples(40)
    more = replace(few, earlier=examples(400))
    judged = judge_by_halves(more, POLICY)
    assert judged.ranked.shape == (40, K)
    assert judged.score > judge_by_halves(few, POLICY).score
    assert fit(more, POLICY, 5).scores(few.rows).tolist() != fit(few, POLICY, 5).scores(few.rows).tolist()


def test_a_network_is_judged_beside_the_trees_when_asked_for_and_is_fitted_as_decided(tmp_path: Path) -> None:
    whole = examples(320)
    linear = fit_linear(whole)
    empty = cast(Lineup, SimpleNamespace(sources=(), items_count=100))
    asked = {"budget": Budget(5.0), "seed": 1, "trees_max": 40, "with_mlp": True, "struck": "nothing"}
    told: dict[str, Any] = {}
    decided = _decide(empty, whole, cast(Choice, SimpleNamespace(**asked)), linear, "yes", told)
    assert max(told["by_trees"]) <= 40
    assert decided.by == max(("trees", "linear", "mlp"), key=lambda name: Measured(*told[name]).score)
    network = _fitted(whole, _Decided("mlp", "nothing", 0, {"epochs": 1}), seed=1)
    Fusion("mlp", "nothing", network, linear).save(tmp_path)
    loaded = Fusion.load(tmp_path)
    assert isinstance(loaded.ensemble, Mlp)
    assert (
        loaded.scores(whole.rows, NAMES).tolist()
        == Fusion("mlp", "nothing", network).scores(whole.rows, NAMES).tolist()
    )


def test_some_of_the_questions_keep_their_rows() -> None:
    whole = examples(10)
    some = whole.only(np.arange(10) % 3 == 1)
    assert len(some.questions) == 3
    assert some.can_teach.all()
    assert (some.rows[:CANDIDATES] == whole.rows[CANDIDATES : 2 * CANDIDATES]).all()


def test_the_same_seed_grows_the_same_trees_and_bags_add_up() -> None:
    whole = examples(100)
    first, second = fit(whole, POLICY, 5), fit(whole, POLICY, 5)
    assert first.scores(whole.rows).tolist() == second.scores(whole.rows).tolist()
    bagged = fit(whole, replace(POLICY, bags=2), 5)
    assert len(bagged.roots) == 10
    other = fit(whole, replace(POLICY, seed=POLICY.seed + 1), 5)
    np.testing.assert_allclose(bagged.scores(whole.rows), first.scores(whole.rows) + other.scores(whole.rows))


def test_questions_that_teach_nothing_are_refused() -> None:
    whole = examples(10)
    with pytest.raises(ValueError, match="no question"):
        fit(replace(whole, labels=np.zeros_like(whole.labels)), POLICY, 5)


def test_the_best_of_each_question_are_taken_and_ties_keep_their_order() -> None:
    items = np.array([4, 5, 6, 7], np.int32)
    best = best_of(np.array([0, 3, 3, 4]), items, np.array([1.0, 2.0, 1.0, 9.0]), 2)
    assert best.tolist() == [[5, 4], [-1, -1], [7, -1]]
