"""What brings rows together, and sums them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from batch.features.arrays import Groups, Words, lists_of, saturating_sums, starts_of
from domain.aggregates.sums import INT64_MAX


def test_a_sum_beyond_64_bits_saturates_as_in_python() -> None:
    amounts = np.array([2**62] * 3 + [-(2**62)] * 3 + [5] + [INT64_MAX, -INT64_MAX, 1])
    assert saturating_sums(amounts, np.array([0, 3, 6, 7])).tolist() == [INT64_MAX, -INT64_MAX, 5, 1]


def test_nothing_has_no_sums() -> None:
    empty = np.empty(0, np.int64)
    assert saturating_sums(empty, starts_of(empty)).tolist() == []


def test_groups_ascend_by_their_codes_and_rows_keep_their_order() -> None:
    groups = Groups.by(np.array([1, 0, 1, 1]), np.array([0, 5, 7, 0]))
    assert groups.order.tolist() == [1, 0, 3, 2]
    assert groups.first_rows.tolist() == [1, 0, 2]
    assert groups.row_counts().tolist() == [2, 1, 1, 2]


def test_words_ascend_by_code_point() -> None:
    words = Words.of(pa.array(["éa", "b", "a", "b", "Zoo"]))
    assert words.distinct.to_pylist() == sorted({"éa", "b", "a", "Zoo"})
    assert words.at(words.places).to_pylist() == ["éa", "b", "a", "b", "Zoo"]


def test_an_owner_without_rows_has_an_empty_list() -> None:
    assert lists_of(np.array([1, 1, 3]), 4, np.array([7, 8, 9])).to_pylist() == [[], [7, 8], [], [9]]
