"""All rules of the shop, and those in force where and when somebody asks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from domain.rules.force import NO_RULES, RulesInForce
from domain.rules.rule import Rule

RULES_MAX: Final = 200
"""Rules of one deployment, in force or not."""


class RuleBook:
    """A fixed set of rules: a change makes another book. Asked by one thread."""

    def __init__(self, rules: Mapping[str, Rule] | None = None) -> None:
        self.rules: Mapping[str, Rule] = MappingProxyType(dict(rules or {}))
        self._in_force: dict[str, tuple[int, int, RulesInForce]] = {}  # by placement: (from, until, rules)

    def with_rule(self, rule: Rule) -> RuleBook:
        """A book with this rule, in the place of the one of its name."""
        return RuleBook({**self.rules, rule.rule_id: rule})

    def without(self, rule_id: str) -> RuleBook:
        """A book without the rule of this name."""
        return RuleBook({name: rule for name, rule in self.rules.items() if name != rule_id})

    def in_force(self, placement: str, at_ms: int) -> RulesInForce:
        """The rules of a placement at an instant; the same object until one of them begins or ends."""
        if not self.rules:
            return NO_RULES
        start_ms, end_ms, held = self._in_force.get(placement, (0, 0, NO_RULES))
        if not start_ms <= at_ms < end_ms:
            held = RulesInForce(rule for rule in self.rules.values() if rule.holds(placement, at_ms))
            start_ms, end_ms = self._span(at_ms)
            self._in_force[placement] = (start_ms, end_ms, held)
        return held

    def _span(self, at_ms: int) -> tuple[int, int]:
        """From when until when the same rules are in force as at this instant."""
        turns = [
            turn
            for rule in self.rules.values()
            for turn in (rule.event.starts_at_ms, rule.event.ends_at_ms)
            if turn is not None
        ]
        start_ms = max((turn for turn in turns if turn <= at_ms), default=-(2**62))
        return start_ms, min((turn for turn in turns if turn > at_ms), default=2**62)
