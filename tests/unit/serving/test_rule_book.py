"""Rules as the topic tells them, and a server's own changes before the topic does."""

from __future__ import annotations

from schemas.rules import RuleEvent, encode_rule
from serving.adapters.rule_book import FollowedRules


def version(number: int) -> bytes:
    return encode_rule(RuleEvent(rule_id="r", version=number, action="hide", items=("a",)))


def stored(rules: FollowedRules) -> int | None:
    rule = rules.book().rules.get("r")
    return rule.event.version if rule else None


def test_an_own_change_is_not_undone_by_what_the_topic_said_before_it() -> None:
    rules = FollowedRules()
    rules.take_at_once("r", version(1))
    rules.take_at_once("r", version(2))
    rules.take({"r": version(1)})
    assert stored(rules) == 2
    rules.take({"r": version(2)})
    rules.take({"r": version(1)})
    assert stored(rules) == 1, "once it has come back, what the topic says last holds"


def test_an_own_deletion_is_not_undone_either() -> None:
    rules = FollowedRules()
    rules.take_at_once("r", version(1))
    rules.take_at_once("r", None)
    rules.take({"r": version(1)})
    assert stored(rules) is None
    rules.take({"r": None})
    rules.take({"r": version(3)})
    assert stored(rules) == 3


def test_a_rule_that_another_server_made_again_after_an_own_deletion_holds() -> None:
    rules = FollowedRules()
    rules.take_at_once("r", version(1))
    rules.take_at_once("r", None)
    rules.take({"r": version(2)})
    assert stored(rules) == 2


def test_a_change_of_another_server_after_an_own_one_holds() -> None:
    rules = FollowedRules()
    rules.take_at_once("r", version(1))
    rules.take({"r": version(5)})
    assert stored(rules) == 5
