"""What a new visitor names, as events."""

from __future__ import annotations

from domain.merge import merge_cells, stream_cells
from domain.onboarding import categories_named, item_for, named_category, onboarding_events
from domain.policies import Policies
from domain.slates import Act
from domain.states import VisitorState
from schemas.events import InteractionEvent, decode, encode
from tests.builders import START_MS, stamp


def test_favourites_and_categories_are_likes_that_keep_the_contract_the_last_named_the_newest() -> None:
    events = onboarding_events("ada", ["a", "b"], ["drama"], at_ms=1_000)
    assert [(each.item_id, each.kind, each.occurred_at_ms) for each in events] == [
        ("category:drama", "like", 998),
        ("a", "like", 999),
        ("b", "like", 1_000),
    ]
    assert events[0].context.categories == ("drama",)
    assert {each.context.source for each in events} == {"onboarding"}
    assert [decode(InteractionEvent, encode(each)) for each in events] == events


def test_naming_the_same_again_is_the_same_event_and_another_visitors_is_another() -> None:
    (once,) = onboarding_events("ada", ["a", "a"], [], at_ms=1)
    (again,) = onboarding_events("ada", ["a"], [], at_ms=9)
    (other,) = onboarding_events("bob", ["a"], [], at_ms=1)
    assert once.event_id == again.event_id != other.event_id


def test_named_categories_are_read_back_the_newest_first() -> None:
    acts = [Act(item_for("a"), "like", 1), Act("film", "like", 2), Act(item_for("b"), "like", 3)]
    assert categories_named(acts) == ["b", "a"]
    assert categories_named([Act(item_for("a"), "dislike", 1)]) == []
    assert named_category("film") is None


def test_the_stream_folds_a_named_category_into_the_visitors_taste() -> None:
    state = VisitorState.load(None, Policies())
    for offset, event in enumerate(onboarding_events("bob", [], ["space"], START_MS)):
        state.observe(event, stamp(START_MS, offset=offset))
    profile = merge_cells("visitor", None, stream_cells("visitor", state.row))
    assert profile["categories_keys"] == ["space"]
    assert profile["seen_items_items"] == ["category:space"]
