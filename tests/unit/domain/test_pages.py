"""Rows of a page."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.pages import ITEMS_MIN_ELSE, RowDraft, RowKind, continued, continuing_worth, lay_out, value_of
from domain.policies import DAY_MS
from domain.slates import Act, Candidate, Query, Source, Visitor

ASKED = Query(visitor_id="ada", count=4, asked_at_ms=0)


def draft(kind: RowKind, items: Sequence[str], worth: float = 1.0) -> RowDraft:
    candidates = [Candidate(item, Source.POPULAR, 1.0) for item in items]
    return RowDraft(kind, candidates, dict.fromkeys(items, worth), ASKED)


def laid(*drafts: RowDraft) -> list[tuple[RowKind, str]]:
    rows = lay_out(drafts, lambda item: item.lower(), lambda item: ())
    return [(row.kind, "".join(item.item_id for item in row.items)) for row in rows]


def test_the_most_valuable_row_comes_first_and_takes_its_items() -> None:
    rows = laid(draft(RowKind.TRENDING, "abcdefgh", 0.1), draft(RowKind.TOP_PICKS, "abcx"))
    assert rows == [(RowKind.TOP_PICKS, "abcx"), (RowKind.TRENDING, "defg")]


def test_a_row_that_holds_particular_items_takes_them_first_and_stands_where_its_value_puts_it() -> None:
    rows = laid(
        draft(RowKind.TOP_PICKS, "abcxyz"), draft(RowKind.CONTINUE, "a", 0.5), draft(RowKind.TOP_TEN, "abcd", 0.01)
    )
    assert rows == [(RowKind.TOP_PICKS, "xyz"), (RowKind.CONTINUE, "a"), (RowKind.TOP_TEN, "bcd")]


def test_a_row_of_too_few_items_is_left_out_and_leaves_its_items_to_others() -> None:
    assert laid(draft(RowKind.TOP_TEN, "ab"), draft(RowKind.NEW, "abc", 0.1)) == [(RowKind.NEW, "abc")]


def test_items_that_count_as_one_stand_once() -> None:
    assert laid(draft(RowKind.TOP_PICKS, "aAbc"), draft(RowKind.NEW, "BdefC", 0.1)) == [
        (RowKind.TOP_PICKS, "abc"),
        (RowKind.NEW, "def"),
    ]


def test_rows_of_one_value_stand_in_the_order_of_their_kinds() -> None:
    assert [kind for kind, _ in laid(draft(RowKind.NEW, "abc", 0.0), draft(RowKind.TRENDING, "def", 0.0))] == [
        RowKind.TRENDING,
        RowKind.NEW,
    ]


def test_a_row_is_worth_the_discounted_sum_of_its_items() -> None:
    assert value_of([1.0, 1.0, 2.0]) == pytest.approx(1.0 + 0.63093 + 1.0, abs=1e-4)
    assert value_of([]) == 0.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(RowKind), st.lists(st.sampled_from("abcdefghijABCDEFGHIJ"), max_size=12), st.floats(0, 1)
        ),
        max_size=8,
    )
)
def test_no_item_stands_twice_and_values_descend(rows: list[tuple[RowKind, list[str], float]]) -> None:
    made = lay_out([draft(*row) for row in rows], lambda item: item.lower(), lambda item: ())
    groups = [item.item_id.lower() for row in made for item in row.items]
    assert len(groups) == len(set(groups))
    assert [row.value for row in made] == sorted((row.value for row in made), reverse=True)
    assert all(len(row.items) >= (1 if row.kind is RowKind.CONTINUE else ITEMS_MIN_ELSE) for row in made)


def test_what_was_begun_and_not_ended_is_continued_the_newest_first() -> None:
    past = (Act("a", "play", 1), Act("b", "play", 2), Act("c", "view", 3), Act("d", "cart", 4))
    visitor = Visitor(past=past, session=(Act("b", "rating", 9), Act("e", "play", 8)))
    assert [act.item_id for act in continued(visitor)] == ["e", "d", "a"]


def test_continuing_is_worth_half_after_three_days() -> None:
    assert continuing_worth(Act("a", "play", 0), 3 * DAY_MS) == 0.5
    assert continuing_worth(Act("a", "play", 5), 0) == 1.0
