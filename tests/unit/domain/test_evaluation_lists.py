"""Every measure of lists against numbers computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from domain.evaluation import NOTHING, EvaluationQuery
from domain.evaluation_lists import ListMeasures, gini, list_diversity, measure_lists
from domain.recommenders.protocol import Session

COUNTS = np.array([8, 4, 4, 0], np.int64)
CATEGORIES = {0: frozenset({"a"}), 1: frozenset({"b"}), 2: frozenset({"a", "b"})}


def query(*then: int) -> EvaluationQuery:
    return EvaluationQuery(0, Session((9,)), then[0], then)


def measured(*lists: list[int], then: tuple[int, ...] = (2,), usual: list[int] | None = None) -> ListMeasures:
    rows = np.array(lists, np.int32)
    primitive = np.array([usual or [NOTHING] * rows.shape[1]] * len(rows), np.int32)
    return measure_lists(rows, [query(*then)] * len(rows), COUNTS, primitive, CATEGORIES)


def test_breadth_is_what_share_of_the_log_is_ever_shown() -> None:
    found = measured([0, 1], [0, NOTHING], [NOTHING, NOTHING])
    assert found.coverage == 2 / 3  # the fourth item is not in the training log
    assert (found.answered, found.full) == (2 / 3, 1 / 3)


def test_popularity_bias_is_the_mean_count_of_what_is_shown() -> None:
    found = measured([0, 3])
    assert found.arp == 4
    assert found.popularity == 1 / 2
    assert found.cold == 1 / 2


def test_novelty_is_the_surprise_in_bits() -> None:
    assert measured([0]).novelty == 1  # half of all interactions
    assert measured([1]).novelty == 2
    assert measured([3]).novelty == 4  # never seen counts as seen once


def test_an_item_beyond_the_catalogue_is_cold() -> None:
    assert measured([7]).cold == 1
    assert measured([7]).coverage == 0


def test_inequality_is_zero_among_equals_and_near_one_for_a_single_winner() -> None:
    assert gini(np.array([3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 12])) == pytest.approx(3 / 4)
    assert gini(np.zeros(4, np.int64)) == 0


def test_a_hit_is_a_surprise_only_where_the_popular_list_does_not_have_it() -> None:
    assert measured([2, 1], then=(2, 1)).serendipity == 1
    assert measured([2, 1], then=(2, 1), usual=[1, 0]).serendipity == 1 / 2
    assert measured([3, 0], then=(2, 1)).serendipity == 0


def test_variety_is_the_mean_distance_of_the_pairs_by_category() -> None:
    assert list_diversity([0, 1], CATEGORIES) == 1
    assert list_diversity([0, 1, 2], CATEGORIES) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_items_without_categories_do_not_count_for_variety() -> None:
    assert list_diversity([0, 3, NOTHING], CATEGORIES) is None
    assert measured([0, 1], [0, 3]).diversity == 1
    assert math.isnan(measured([3, 3]).diversity)


def test_nothing_shown_has_zero_everywhere_but_for_variety() -> None:
    found = measured([NOTHING, NOTHING])
    assert [value for value in found if value] == [pytest.approx(math.nan, nan_ok=True)]
