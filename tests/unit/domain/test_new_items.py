"""New items come to every tenth place, or to where their own score puts them."""

from __future__ import annotations

from itertools import pairwise

from domain.new_items import with_new_items
from domain.slates import Candidate, Source


def ranked(places: int, *new: tuple[str, float]) -> list[Candidate]:
    """Known items of scores 1, 0.9 and so on, and new ones, best first."""
    known = [Candidate(f"i{at}", Source.SESSION, 1 - at / 10) for at in range(places)]
    added = [Candidate(item, Source.CONTENT, score) for item, score in new]
    return sorted([*known, *added], key=lambda each: -each.score)


def order(candidates: tuple[Candidate, ...]) -> list[str]:
    return [each.item_id for each in candidates]


def test_the_nth_new_item_takes_the_nth_place_that_is_kept_for_them() -> None:
    found = with_new_items(ranked(8, ("n1", 0.02), ("n2", 0.01), ("n3", 0.005)), every=3)
    assert order(found) == ["i0", "i1", "n1", "i2", "i3", "n2", "i4", "i5", "n3", "i6", "i7"]
    assert all(one.score >= other.score for one, other in pairwise(found))
    assert sorted(order(found)) == sorted(order(with_new_items(found)))


def test_a_new_item_whose_score_is_higher_stays_where_it_is_and_counts() -> None:
    found = with_new_items(ranked(6, ("n1", 0.95), ("n2", 0.01)), every=3)
    assert order(found) == ["i0", "n1", "i1", "i2", "i3", "n2", "i4", "i5"]


def test_with_too_few_others_new_items_come_last_and_without_a_score_they_are_not_raised() -> None:
    assert order(with_new_items(ranked(1, ("n1", 0.5), ("n2", 0.4)), every=3)) == ["i0", "n1", "n2"]
    assert order(with_new_items(ranked(4, ("n1", 0.0)), every=3))[-1] == "n1"
