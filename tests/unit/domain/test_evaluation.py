"""Every measure against numbers computed by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

import numpy as np
import pytest

from domain.evaluation import (
    NOTHING,
    Evaluation,
    EvaluationQuery,
    Judgement,
    Protocol,
    answers,
    evaluate,
    judge,
    judge_lists,
)
from domain.recommenders.protocol import Ranking, Session

MISS = Judgement(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Scripted:
    """Answers every query with the same list."""

    def __init__(self, *items: int) -> None:
        self.items = items

    def rank(self, session: Session, k: int) -> Ranking:
        items = np.array(self.items[:k], np.int32)
        return Ranking(items, np.arange(len(items), 0, -1).astype(np.float32))

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


def query(*prefix: int, then: tuple[int, ...], key: int = 0) -> EvaluationQuery:
    return EvaluationQuery(key, Session(prefix), then[0], then)


def test_a_target_at_rank_three_has_the_textbook_values() -> None:
    judgement = judge([9, 8, 5, 7], query(1, then=(5,)), 4)
    assert judgement == Judgement(1.0, 1 / 3, 1 / math.log2(4), 1.0, 1 / 4, 1 / 3, 1 / math.log2(4), 1.0)


def test_the_rest_of_the_session_is_judged_as_a_set() -> None:
    judgement = judge([9, 6, 5, 7], query(1, then=(5, 6, 5, 4)), 4)
    assert judgement.recall == 2 / 3  # of {4, 5, 6}
    assert judgement.precision == 2 / 4
    assert judgement.average_precision == pytest.approx((1 / 2 + 2 / 3) / 3)
    best = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert judgement.rest_ndcg == pytest.approx((1 / math.log2(3) + 1 / math.log2(4)) / best)
    assert judgement.any_hit == 1.0


def test_average_precision_cannot_exceed_one_when_the_rest_is_longer_than_the_list() -> None:
    assert judge([4, 5], query(1, then=(4, 5, 6, 7)), 2).average_precision == 1.0


def test_only_the_first_k_entries_count() -> None:
    assert judge([9, 8, 5], query(1, then=(5,)), 2) == MISS


def test_a_duplicate_wastes_its_place() -> None:
    assert judge([9, 9, 5], query(1, then=(5,)), 2) == MISS
    assert judge([5, 5], query(1, then=(5,)), 2).precision == 1 / 2


def test_a_target_unknown_to_the_catalogue_is_a_miss() -> None:
    outcome = evaluate(Scripted(1, 2), [query(1, then=(-1,)), query(1, then=(2,))], 2)
    assert len(outcome) == 2
    assert outcome.mean().hit_rate == 0.5


def test_a_query_without_an_answer_is_a_miss() -> None:
    assert evaluate(Scripted(), [query(1, then=(2,))], 5).mean() == MISS


def test_by_default_the_current_item_stays_in_the_list() -> None:
    outcome = evaluate(Scripted(1, 2), [query(1, then=(2,)), query(1, then=(1,))], 2)
    assert outcome.mean().reciprocal_rank == (1 / 2 + 1) / 2


def test_dedup_leaves_out_repeats_and_strikes_the_current_item_before_the_cut() -> None:
    outcome = evaluate(Scripted(1, 2), [query(3, 1, then=(2,)), query(1, then=(1, 2))], 1, dedup=True)
    assert len(outcome) == 1
    assert outcome.mean().reciprocal_rank == 1.0


def test_unseen_strikes_every_item_of_the_session_before_the_cut() -> None:
    outcome = evaluate(Scripted(1, 3, 1, 2), [query(3, 1, 3, then=(2,))], 1, unseen=True)
    assert outcome.mean().hit_rate == 0.0  # the list of 1 + 2 distinct items ends before the target
    assert evaluate(Scripted(1, 3, 2), [query(3, 1, 3, then=(2,))], 1, unseen=True).mean().hit_rate == 1.0


def test_no_queries_have_zero_everywhere() -> None:
    outcome = evaluate(Scripted(1), [], 5)
    assert outcome.mean() == MISS
    assert outcome.interval("hit_rate", np.random.default_rng(1)) == (0.0, 0.0, 0.0)


def outcome_of(hits: list[float], sessions: list[int]) -> Evaluation:
    return Evaluation(20, np.repeat(np.array(hits)[:, None], len(MISS), axis=1), np.array(sessions, np.int64))


def test_the_interval_holds_the_mean_and_narrows_with_more_sessions() -> None:
    generator = np.random.default_rng(3)
    few = outcome_of([0.0, 1.0] * 20, list(range(40))).interval("hit_rate", generator)
    many = outcome_of([0.0, 1.0] * 500, list(range(1_000))).interval("hit_rate", generator)
    assert few.mean == many.mean == 0.5
    assert few.low < many.low < 0.5 < many.high < few.high
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.5 / math.sqrt(1_000), rel=0.15)


def test_queries_of_one_session_are_resampled_together() -> None:
    """Ten equal queries of one session say no more than one."""
    generator = np.random.default_rng(3)
    alone = outcome_of([0.0, 1.0] * 50, list(range(100))).interval("hit_rate", generator)
    copied = outcome_of([0.0] * 500 + [1.0] * 500, [n // 10 for n in range(1_000)]).interval("hit_rate", generator)
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.15)


def test_a_paired_comparison_sees_what_two_intervals_do_not() -> None:
    generator = np.random.default_rng(3)
    worse = [0.0, 1.0] * 100
    better = [1.0, 1.0] * 10 + worse[20:]
    ours, theirs = outcome_of(better, list(range(200))), outcome_of(worse, list(range(200)))
    assert ours.interval("hit_rate", generator).low < theirs.interval("hit_rate", generator).high
    gain = ours.gain_over(theirs, "hit_rate", generator)
    assert gain.mean == pytest.approx(10 / 200)
    assert gain.low > 0


def test_all_measures_at_once_have_the_means_of_each_and_bounds_around_them() -> None:
    outcome = outcome_of([0.0, 1.0] * 50, list(range(100)))
    found = outcome.intervals(np.random.default_rng(3))
    assert found.keys() == set(Judgement._fields)
    assert found["hit_rate"] == outcome.interval("hit_rate", np.random.default_rng(3))
    gains = outcome.gains_over(outcome_of([0.0] * 100, list(range(100))), np.random.default_rng(3))
    assert gains["precision"] == found["precision"]


def test_some_of_the_queries_keep_their_sessions() -> None:
    outcome = outcome_of([0.0, 1.0, 1.0, 0.0], [0, 0, 4, 2]).where(np.array([False, True, True, True]))
    assert outcome.session_of.tolist() == [0, 2, 1]
    assert outcome.mean().hit_rate == 2 / 3


def test_the_first_columns_of_lists_are_judged_at_a_smaller_k() -> None:
    asked = [query(9, then=(3,))]
    lists = answers(Scripted(1, 2, 2, 3), asked, Protocol(k=5))
    assert lists.tolist() == [[1, 2, NOTHING, 3, NOTHING]]
    assert judge_lists(lists, asked).mean().reciprocal_rank == 1 / 4
    assert judge_lists(lists[:, :3], asked).mean() == MISS


def test_evaluations_of_different_queries_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same queries"):
        outcome_of([1.0], [0]).gain_over(outcome_of([1.0, 1.0], [0, 1]), "hit_rate", np.random.default_rng(1))
