"""Who is a newcomer."""

from __future__ import annotations

from typing import Any

import pytest

from domain.newcomers import is_newcomer, weights_for
from domain.onboarding import item_for
from domain.slates import SOURCE_WEIGHTS, Act, Placement, Query, Source, Visitor


def asked(*items: str, kind: str = "view", **fields: Any) -> Query:
    acts = tuple(Act(item, kind, place) for place, item in enumerate(items))
    return Query(visitor_id="ada", count=3, asked_at_ms=99, visitor=Visitor(past=acts), **fields)


def test_a_newcomer_has_acted_on_some_items_and_on_few() -> None:
    assert [is_newcomer(asked(*"abcd"[:count])) for count in range(5)] == [False, True, True, True, False]


def test_categories_that_were_named_and_items_turned_down_do_not_count_as_items() -> None:
    assert is_newcomer(asked(*"abc", item_for("drama"), item_for("war")))
    assert is_newcomer(asked(*"abcde", kind="dislike"))


@pytest.mark.parametrize("placement", [Placement.ITEM, Placement.CART])
def test_beside_an_item_that_stands_there_nobody_is_treated_as_a_newcomer(placement: Placement) -> None:
    assert not is_newcomer(asked("a", placement=placement))


def test_popularity_weighs_more_for_a_newcomer_and_as_usual_for_others() -> None:
    assert weights_for(asked("a"))[Source.POPULAR] > SOURCE_WEIGHTS[Source.POPULAR]
    assert weights_for(asked(*"abcd")) is SOURCE_WEIGHTS
