"""One rule: which terms go together, and when it holds."""

from __future__ import annotations

from typing import Any

import pytest

from domain.rules import Rule, RuleError
from schemas.events import ItemEvent
from schemas.rules import RuleEvent


def rule(action: Any = "hide", **fields: Any) -> Rule:
    return Rule.of(RuleEvent(rule_id="r", version=1, action=action, **fields))


@pytest.mark.parametrize(
    ("action", "fields", "field"),
    [
        ("pin", {}, "items"),
        ("pin", {"where": "price < 3"}, "items"),
        ("pin", {"items": ("a",), "where": "price < 3"}, "where"),
        ("pin", {"items": ("a",), "factor": 2.0}, "factor"),
        ("boost", {"factor": 2.0}, "items"),
        ("boost", {"items": ("a",)}, "factor"),
        ("boost", {"items": ("a",), "factor": 2.0, "position": 1}, "position"),
        ("hide", {}, "items"),
        ("filter", {}, "where"),
        ("filter", {"items": ("a",)}, "where"),
        ("hide", {"items": ("a",), "starts_at_ms": 5, "ends_at_ms": 5}, "ends_at_ms"),
    ],
)
def test_terms_that_do_not_go_together_are_refused_by_field(action: str, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RuleError) as caught:
        rule(action, **fields)
    assert caught.value.field == field
    assert caught.value.remedy


def test_a_wrong_filter_is_refused_with_its_place() -> None:
    with pytest.raises(RuleError) as caught:
        rule(where="price <")
    assert (caught.value.field, caught.value.position) == ("where", 8)


def test_a_rule_holds_from_its_start_up_to_its_end_in_its_placements() -> None:
    timed = rule(items=("a",), placements=("cart",), starts_at_ms=10, ends_at_ms=20)
    assert [timed.holds("cart", at_ms) for at_ms in (9, 10, 19, 20)] == [False, True, True, False]
    assert not timed.holds("home", 15)
    assert rule(items=("a",)).holds("home", 0)
    assert not rule(items=("a",), enabled=False).holds("home", 0)


def test_a_rule_covers_what_it_names_and_what_fulfils_its_filter() -> None:
    both = rule(items=("a",), where="price < 3")
    items = [ItemEvent(item_id="a"), ItemEvent(item_id="b", price_micros=2_000_000), ItemEvent(item_id="c")]
    assert [both.covers(item) for item in items] == [True, True, False]
