"""Acts that came with the query."""

from __future__ import annotations

from domain.own_clicks import with_clicks
from domain.policies import SessionPolicy
from domain.slates import NOBODY, Act, Visitor

GAP = SessionPolicy(gap_ms=1_000)
NOW_MS = 10_000
KNOWN = Visitor(
    session=(Act("a", "view", 9_000), Act("b", "view", 9_500)), past=(Act("p", "view", 0),), session_length=7
)


def test_an_act_that_has_not_arrived_is_part_of_the_session() -> None:
    visitor = with_clicks(KNOWN, [Act("c", "click", 9_900)], NOW_MS, GAP)
    assert [act.item_id for act in visitor.session] == ["a", "b", "c"]
    assert visitor.session_length == 8
    assert visitor.past == KNOWN.past


def test_an_act_that_has_arrived_changes_nothing() -> None:
    assert with_clicks(KNOWN, [Act("b", "view", 9_500)], NOW_MS, GAP) == KNOWN
    assert with_clicks(KNOWN, [], NOW_MS, GAP) == KNOWN


def test_acts_stand_in_the_order_in_which_they_happened() -> None:
    visitor = with_clicks(KNOWN, [Act("d", "click", 9_900), Act("c", "click", 9_100)], NOW_MS, GAP)
    assert [act.item_id for act in visitor.session] == ["a", "c", "b", "d"]


def test_an_act_of_the_future_is_one_of_now() -> None:
    assert with_clicks(NOBODY, [Act("c", "click", NOW_MS + 5)], NOW_MS, GAP).session == (Act("c", "click", NOW_MS),)


def test_an_act_after_a_gap_begins_a_session_and_the_one_before_is_past() -> None:
    idle = Visitor(session=(Act("a", "view", 8_000),), session_length=4, cart=("a",))
    visitor = with_clicks(idle, [Act("c", "click", 9_001)], NOW_MS, GAP)
    assert [act.item_id for act in visitor.session] == ["c"]
    assert visitor.session_length == 1
    assert visitor.past == idle.session
    assert visitor.cart == ()


def test_acts_of_long_ago_are_past() -> None:
    visitor = with_clicks(NOBODY, [Act("c", "click", 8_999)], NOW_MS, GAP)
    assert (visitor.session, visitor.session_length) == ((), 0)
    assert visitor.past == (Act("c", "click", 8_999),)


def test_the_cart_takes_what_is_put_there_and_gives_what_is_bought() -> None:
    visitor = with_clicks(
        Visitor(session=KNOWN.session, cart=("a", "b")),
        [Act("c", "cart", 9_800), Act("a", "purchase", 9_900)],
        NOW_MS,
        GAP,
    )
    assert visitor.cart == ("b", "c")
