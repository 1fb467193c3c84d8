"""The rules in force, and what they make of items."""

from __future__ import annotations

from typing import Any

from domain.rules import NO_RULES, Rule, RuleBook, RulesInForce, Verdict
from schemas.events import ItemEvent
from schemas.rules import RuleEvent

DRAMA = ItemEvent(item_id="a", categories=("drama",))


def rule(rule_id: str, action: Any, **fields: Any) -> Rule:
    return Rule.of(RuleEvent(rule_id=rule_id, version=1, action=action, **fields))


def book(*rules: Rule) -> RuleBook:
    made = RuleBook()
    for each in rules:
        made = made.with_rule(each)
    return made


def test_a_book_without_rules_has_none_in_force() -> None:
    assert RuleBook().in_force("home", 0) is NO_RULES
    assert NO_RULES.verdict("a", DRAMA) == Verdict()


def test_a_rule_takes_the_place_of_the_one_of_its_name_and_can_be_taken_out() -> None:
    first = book(rule("r", "hide", items=("a",)))
    second = first.with_rule(rule("r", "hide", items=("b",)))
    assert second.in_force("home", 0).verdict("a", None).hidden_by == ""
    assert first.in_force("home", 0).verdict("a", None).hidden_by == "r", "a book does not change"
    assert second.without("r").rules == {}
    assert second.without("unheard").rules.keys() == {"r"}


def test_the_rules_in_force_are_made_anew_when_one_begins_or_ends() -> None:
    timed = book(rule("r", "hide", items=("a",), starts_at_ms=10, ends_at_ms=20))
    hidden = [timed.in_force("home", at_ms).verdict("a", None).hidden_by for at_ms in (9, 10, 19, 20, 15, 5)]
    assert hidden == ["", "r", "r", "", "r", ""]
    assert timed.in_force("home", 12) is timed.in_force("home", 18)


def test_hides_come_before_filters_and_both_before_boosts() -> None:
    rules = RulesInForce(
        [
            rule("b", "hide", items=("x",)),
            rule("f", "filter", where='category has "drama"'),
            rule("n", "boost", items=("x", "a"), factor=2.0),
        ]
    )
    assert rules.narrows
    assert rules.moves
    assert rules.verdict("x", None) == Verdict(hidden_by="b")
    assert rules.verdict("y", None) == Verdict(hidden_by="f")
    assert rules.verdict("a", DRAMA) == Verdict(factor=2.0, boosted_by="n")


def test_boosts_multiply_and_the_strongest_is_named() -> None:
    rules = RulesInForce(
        [rule("up", "boost", items=("a",), factor=2.0), rule("down", "boost", where="not price exists", factor=0.1)]
    )
    assert rules.verdict("a", DRAMA) == Verdict(factor=0.2, boosted_by="down")


def test_a_new_word_of_the_catalogue_is_judged_anew() -> None:
    rules = RulesInForce([rule("r", "hide", where='category has "drama"')])
    assert rules.verdict("a", DRAMA).hidden_by == "r"
    assert rules.verdict("a", ItemEvent(item_id="a")).hidden_by == ""
    assert rules.verdict("a", None).hidden_by == ""


def test_pins_stand_in_order_from_their_place_and_the_one_nearer_to_the_top_counts() -> None:
    rules = RulesInForce([rule("p", "pin", items=("a", "b"), position=2), rule("q", "pin", items=("b", "c"))])
    assert {item: (pin.position, pin.rule_id) for item, pin in rules.pins.items()} == {
        "b": (0, "q"),
        "c": (1, "q"),
        "a": (2, "p"),
    }
    assert not rules.narrows
    assert not rules.moves
