"""Slates: who is recognised, what is left out, how sources are fused, how categories are capped, and the reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.merge import merge_cells
from domain.policies import SessionPolicy
from domain.reasons import reason_of
from domain.rules import Rule, RulesInForce
from domain.slates import (
    NOBODY,
    Act,
    Candidate,
    Query,
    Removal,
    Shown,
    Source,
    Visitor,
    choose,
    fuse,
    recognise,
)
from schemas.rules import RuleEvent

GAP = SessionPolicy(gap_ms=1_000)
TITLES = {"dune": "Dune"}


def query(**fields: Any) -> Query:
    return replace(Query(visitor_id="ada", count=3, asked_at_ms=10_000), **fields)


def acts(*items: str, kind: str = "view") -> tuple[Act, ...]:
    return tuple(Act(item, kind, at_ms) for at_ms, item in enumerate(items))


def candidate(item: str, score: float = 1.0, source: Source = Source.SESSION) -> Candidate:
    return Candidate(item, source, score)


def ids(candidates: tuple[Candidate, ...]) -> list[str]:
    return [each.item_id for each in candidates]


def session_cells(*items: str, last_at_ms: int) -> dict[str, Any]:
    return {
        "session_items": list(items),
        "session_items_kinds": ["view"] * len(items),
        "session_items_at_ms": list(range(len(items))),
        "session_last_at_ms": last_at_ms,
        "session_cart_items": ["c"],
        "session_length": len(items) + 5,
    }


def test_a_session_within_the_gap_is_running_and_counts_visits_that_the_row_no_longer_lists() -> None:
    visitor = recognise(session_cells("a", "b", last_at_ms=9_000), merge_cells("visitor", None, None), 10_000, GAP)
    assert [act.item_id for act in visitor.session] == ["a", "b"]
    assert visitor.session_length == 7
    assert visitor.cart == ("c",)


def test_a_session_idle_beyond_the_gap_is_over() -> None:
    visitor = recognise(session_cells("a", last_at_ms=8_999), merge_cells("visitor", None, None), 10_000, GAP)
    assert visitor.session == ()
    assert visitor.session_length == 0
    assert visitor.cart == ()


def test_without_a_running_session_the_basis_is_what_the_visitor_did_before() -> None:
    assert Visitor(session=(), past=acts("a", "b")).basis == acts("a", "b")
    assert Visitor(session=acts("c"), past=acts("a", "b")).basis == acts("c")


def test_what_is_at_hand_is_the_newest_part_of_the_basis_and_counts_as_seen() -> None:
    visitor = Visitor(session=acts("s"), past=acts("p"), at_hand=acts("page"))
    assert [act.item_id for act in visitor.basis] == ["s", "page"]
    assert visitor.seen == {"s", "p", "page"}
    assert [act.item_id for act in Visitor(past=acts("p"), at_hand=acts("page")).basis] == ["p", "page"]


def test_nothing_is_derived_from_disliked_and_hidden_items_but_they_count_as_seen() -> None:
    visitor = Visitor(session=(*acts("a"), *acts("b", kind="hide"), *acts("c", kind="dislike")))
    assert [act.item_id for act in visitor.basis] == ["a"]
    assert visitor.seen == {"a", "b", "c"}


def test_nobody_has_seen_anything() -> None:
    assert NOBODY.seen == frozenset()
    assert NOBODY.basis == ()


def test_fusing_makes_one_candidate_an_item_and_names_the_source_of_its_largest_part() -> None:
    fused = fuse(
        [
            candidate("a", 4.0),
            candidate("b", 2.0),
            candidate("b", 300.0, Source.POPULAR),
            candidate("c", 150.0, Source.POPULAR),
        ],
        {Source.SESSION: 1.0, Source.POPULAR: 0.1},
    )
    assert [(each.item_id, each.source) for each in fused] == [
        ("a", Source.SESSION),
        ("b", Source.SESSION),
        ("c", Source.POPULAR),
    ]
    assert [each.score for each in fused] == pytest.approx([1.0, 0.6, 0.05])


def test_fusing_does_not_depend_on_the_order_of_candidates() -> None:
    found = [candidate("a"), candidate("b"), candidate("a", 9.0, Source.POPULAR), candidate("c", 9.0, Source.TRENDING)]
    assert fuse(found) == fuse(list(reversed(found)))


def test_a_source_without_positive_scores_adds_nothing() -> None:
    assert fuse([candidate("a", 0.0)]) == (candidate("a", 0.0),)


def test_a_category_stands_at_most_as_often_as_the_cap_in_the_slate() -> None:
    categories = {"a": ("drama",), "b": ("drama",), "c": ("drama", "war"), "d": ("war",), "e": ()}
    chosen = choose(
        query(count=5, category_cap=1), [candidate(item) for item in "abcde"], lambda item: categories[item]
    )
    assert ids(chosen.kept) == ["a", "d", "e"]
    assert [each.why for each in chosen.removed] == [Removal.CATEGORY_CAP, Removal.CATEGORY_CAP]


def test_what_does_not_fit_is_below_the_cut() -> None:
    chosen = choose(query(count=1), [candidate("a"), candidate("b")], lambda item: ())
    assert ids(chosen.kept) == ["a"]
    assert chosen.removed[0].why is Removal.BELOW_THE_CUT


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("play", "because you watched Dune"), ("purchase", "because you bought Dune"), ("odd", "because of Dune")],
)
def test_a_reason_cites_the_visitors_own_act(kind: str, sentence: str) -> None:
    assert reason_of(Shown(candidate("x"), Act("dune", kind, 0)), lambda item: TITLES[item]) == sentence


def test_an_item_without_a_title_is_cited_by_its_id() -> None:
    assert reason_of(Shown(candidate("x"), Act("tt1", "view", 0)), lambda item: "") == "because you looked at tt1"


@pytest.mark.parametrize("source", list(Source))
def test_every_source_has_a_reason_without_an_act(source: Source) -> None:
    assert reason_of(Shown(candidate("x", source=source)), lambda item: "")


def pinned(*items: str, position: int = 0, **fields: Any) -> Query:
    event = RuleEvent(rule_id="p", version=1, action="pin", items=items, position=position)
    return query(rules=RulesInForce([Rule.of(event)]), **fields)


def test_pinned_items_come_to_their_places_and_name_the_rule() -> None:
    ranked = [candidate(item) for item in "abcde"]
    chosen = choose(pinned("e", "d", position=1), ranked, lambda item: ())
    assert ids(chosen.kept) == ["a", "e", "d"]
    assert [each.rule for each in chosen.kept] == ["", "p", "p"]
    assert [(each.candidate.item_id, each.why) for each in chosen.removed] == [
        ("b", Removal.BELOW_THE_CUT),
        ("c", Removal.BELOW_THE_CUT),
    ]


def test_a_pin_beyond_the_slate_moves_nothing_and_one_that_was_removed_leaves_no_gap() -> None:
    ranked = [candidate(item) for item in "abcde"]
    assert ids(choose(pinned("e", position=3), ranked, lambda item: ()).kept) == ["a", "b", "c"]
    assert ids(choose(pinned("x", "e"), ranked, lambda item: ()).kept) == ["a", "e", "b"]


def test_pinned_items_count_for_the_cap_and_are_not_held_by_it() -> None:
    ranked = [candidate(item) for item in "abcd"]
    chosen = choose(pinned("c", "d", category_cap=1), ranked, lambda item: () if item == "b" else ("drama",))
    assert ids(chosen.kept) == ["c", "d", "b"]
    assert [(each.candidate.item_id, each.why) for each in chosen.removed] == [("a", Removal.CATEGORY_CAP)]
