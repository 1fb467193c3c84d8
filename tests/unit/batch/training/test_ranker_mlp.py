"""A network learns from questions what a sum of the sources cannot know, the same one each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from batch.ranking.history import Questions
from batch.ranking.measures import measure
from batch.ranking.ranker import Examples
from batch.training.ranker_mlp import MlpPolicy, fit, judge_by_halves
from domain.recommenders.lineup.candidates import Table
from domain.recommenders.lineup.queries import Queries

CANDIDATES = 12
NAMES = ("near", "far", "noise", "constant")
POLICY = MlpPolicy(wide=16, narrow=8, learning_rate=1e-2, questions_per_batch=32, checkpoints=(1, 8))


def examples(count: int = 300) -> Examples:
    """Questions whose answer is the candidate with the largest product of two features; some have fewer candidates."""
    generator = np.random.default_rng(6)
    candidates = np.stack([generator.permutation(100)[:CANDIDATES] for _ in range(count)]).astype(np.int32)
    features = generator.normal(size=(count, CANDIDATES, len(NAMES))).astype(np.float32)
    features[:, :, 3] = 5
    answer = (features[:, :, 0] * features[:, :, 1])[:, :9].argmax(axis=1)
    candidates[::3, 9:] = -1
    queries = Queries(np.zeros(count + 1, np.int64), np.empty(0, np.int32), np.full(count, -1, np.int32))
    asked = Questions(queries, np.arange(count + 1), candidates[np.arange(count), answer], np.arange(count) // 3)
    return Examples.of([Table(candidates, features, NAMES)], asked)


def test_the_halves_choose_how_long_to_learn_and_learn_what_no_sum_knows() -> None:
    asked = examples()
    judged = judge_by_halves(asked, POLICY)
    assert judged.epochs == 8
    assert judged.by_epochs.keys() == {1, 8}
    by_chance = asked.ranked(np.random.default_rng(1).random(len(asked.items)))
    assert measure(judged.ranked, asked.questions).reciprocal_rank > 0.6
    assert measure(by_chance, asked.questions).reciprocal_rank < 0.35


def test_without_time_the_halves_learn_to_the_first_checkpoint() -> None:
    judged = judge_by_halves(examples(60), POLICY, seconds_max=0)
    assert judged.by_epochs == {1: judged.score}


def test_the_same_policy_trains_the_same_network() -> None:
    asked = examples(60)
    one, other = (fit(asked, POLICY, 2) for _ in range(2))
    assert one.scores(asked.rows).tobytes() == other.scores(asked.rows).tobytes()
    different = fit(asked, replace(POLICY, seed=2), 2)
    assert one.scores(asked.rows).tobytes() != different.scores(asked.rows).tobytes()


def test_questions_without_their_answer_teach_nothing() -> None:
    asked = examples(10)
    with pytest.raises(ValueError, match="no question"):
        fit(replace(asked, labels=np.zeros_like(asked.labels)), POLICY, 1)


def test_grades_may_stand_for_labels() -> None:
    asked = examples(200)
    graded = replace(asked, labels=(asked.labels * 7).astype(np.int8))
    assert fit(graded, POLICY, 2).scores(asked.rows).tobytes() == fit(asked, POLICY, 2).scores(asked.rows).tobytes()


@pytest.mark.parametrize("change", [{"wide": 0}, {"checkpoints": ()}, {"checkpoints": (4, 2)}, {"dropout": 1.0}])
def test_a_policy_that_cannot_be_trained_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        MlpPolicy(**change)  # type: ignore[arg-type]
