"""What an answer was worth, by what happened afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.objectives import GRADES, PARTS, Objectives, Offer, Outcome, grade, kind_gains, relevance
from domain.policies import DAY_MS, MINUTE_MS
from schemas.events import Kind

OFFER = Offer(asked_at_ms=100 * DAY_MS)


def only(part: str) -> Objectives:
    return Objectives(**{name: 3.0 if name == part else 0.0 for name in PARTS})  # type: ignore[arg-type]


def worth(*kinds: Kind, objectives: Objectives | None = None) -> float:
    return relevance([Outcome(kind) for kind in kinds], OFFER, objectives or Objectives())


def test_what_nobody_acted_on_is_worth_nothing() -> None:
    assert worth() == 0


def test_what_was_bought_is_worth_more_than_what_was_put_in_the_cart_and_that_more_than_a_look() -> None:
    assert worth("view") == worth("click") == 0.5
    assert worth("view", "cart") == 0.75
    assert worth("view", "cart", "purchase") == 1.0


@pytest.mark.parametrize("kind", ["dislike", "hide"])
def test_what_was_refused_is_worth_nothing_whatever_came_before(kind: Kind) -> None:
    assert worth("view", "purchase", kind) == 0


def test_a_rating_is_worth_its_share_of_the_highest() -> None:
    stars = [relevance([Outcome("rating", value)], OFFER, only("value")) for value in (-1.0, 0.0, 2.5, 5.0, 9.0)]
    assert stars == [0, 0, 0.5, 1, 1]
    assert relevance([Outcome("rating")], OFFER, only("value")) == 0


def test_watch_time_counts_half_at_its_half_and_the_sum_of_all_plays() -> None:
    objectives = replace(only("watch_time"), watched_half_ms=10 * MINUTE_MS)
    plays = [Outcome("play", 4.0 * MINUTE_MS), Outcome("play", 6.0 * MINUTE_MS), Outcome("play", -5.0)]
    assert relevance(plays, OFFER, objectives) == 0.5
    assert relevance([Outcome("rating", 60_000.0)], OFFER, objectives) == 0


def test_completion_is_the_share_that_was_watched_and_nothing_where_the_length_is_unknown() -> None:
    plays = [Outcome("play", 30.0 * MINUTE_MS)]
    lengths = [None, 40 * MINUTE_MS, 20 * MINUTE_MS]
    assert [relevance(plays, replace(OFFER, duration_ms=each), only("completion")) for each in lengths] == [0, 0.75, 1]


def test_diversity_is_a_category_that_the_visitor_had_not() -> None:
    offer = replace(OFFER, categories=frozenset({"noir"}), categories_before=frozenset({"comedy"}))
    known = replace(offer, categories_before=frozenset({"noir", "comedy"}))
    worths = [relevance([Outcome("view")], each, only("diversity")) for each in (offer, known, OFFER)]
    assert worths == [1, 0, 0]


def test_freshness_halves_with_each_half_life_and_what_is_not_out_yet_is_fresh() -> None:
    objectives = replace(only("freshness"), freshness_half_life_ms=10 * DAY_MS)
    days = [None, 80, 90, 100, 120]
    offers = [replace(OFFER, published_at_ms=None if day is None else day * DAY_MS) for day in days]
    assert [relevance([Outcome("view")], offer, objectives) for offer in offers] == [0, 0.25, 0.5, 1, 1]


def test_any_relevance_has_a_grade_and_the_highest_is_the_number_of_grades() -> None:
    assert [grade(each) for each in (0.0, 1e-9, 0.5, 1.0)] == [0, 1, GRADES // 2, GRADES]


def test_a_dislike_takes_from_a_taste_what_a_purchase_gives() -> None:
    gains = kind_gains(Objectives())
    assert gains["view"] == gains["rating"] == 1.0
    assert gains["purchase"] == -gains["dislike"] == 2.0


@pytest.mark.parametrize(
    "change", [{"click": -1.0}, {"value": 1e9}, {"click": 0.0, "value": 0.0}, {"watched_half_ms": 0}]
)
def test_weights_that_cannot_be_meant_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Objectives(**change)  # type: ignore[arg-type]
