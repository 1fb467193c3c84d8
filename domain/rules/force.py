"""The rules that hold in one place at one time, and what they make of an item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from domain.rules.rule import Rule
from schemas.events import ItemEvent

REMEMBERED_MAX: Final = 200_000
"""Items of which it is remembered what the rules make of them."""


class Verdict(NamedTuple):
    """What the rules make of an item: who hides it, the product of its boosts, and who boosts it most."""

    hidden_by: str = ""
    factor: float = 1.0
    boosted_by: str = ""


INDIFFERENT: Final = Verdict()


class RulesInForce:
    """A fixed set of rules. What they say of an item is worked out once for each word of the catalogue on it."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        ordered = sorted(rules, key=lambda rule: rule.rule_id)
        self._hides = tuple(rule for rule in ordered if rule.event.action == "hide")
        self._filters = tuple(rule for rule in ordered if rule.event.action == "filter")
        self._boosts = tuple(rule for rule in ordered if rule.event.action == "boost")
        self.pins = _pins(rule for rule in ordered if rule.event.action == "pin")
        self._known: dict[str, tuple[ItemEvent | None, Verdict]] = {}

    @property
    def narrows(self) -> bool:
        """Whether some item may not be shown."""
        return bool(self._hides or self._filters)

    @property
    def moves(self) -> bool:
        """Whether some score is changed."""
        return bool(self._boosts)

    def verdict(self, item_id: str, item: ItemEvent | None) -> Verdict:
        """What holds for an item; `item` is what the catalogue says of it, None for an unknown one."""
        if not (self._hides or self._filters or self._boosts):
            return INDIFFERENT
        known = self._known.get(item_id)
        if known is not None and known[0] is item:
            return known[1]
        verdict = self._judged(item or ItemEvent(item_id=item_id))
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[item_id] = (item, verdict)
        return verdict

    def _judged(self, item: ItemEvent) -> Verdict:
        for rule in self._hides:
            if rule.covers(item):
                return Verdict(hidden_by=rule.rule_id)
        for rule in self._filters:
            if not rule.covers(item):
                return Verdict(hidden_by=rule.rule_id)
        factor, strongest, boosted_by = 1.0, 1.0, ""
        for rule in self._boosts:
            if rule.covers(item):
                own = rule.event.factor or 1.0
                factor *= own
                if max(own, 1 / own) > strongest:
                    strongest, boosted_by = max(own, 1 / own), rule.rule_id
        return Verdict(factor=factor, boosted_by=boosted_by)


class Pin(NamedTuple):
    """An item's fixed place, from 0, and the rule that says so."""

    position: int
    rule_id: str


def _pins(rules: Iterable[Rule]) -> Mapping[str, Pin]:
    """By item, in the order of places. Of two pins of one item the one nearer to the top counts, of two at one place
    the one whose rule comes first by name stands before the other.
    """
    pins: dict[str, Pin] = {}
    for rule in rules:
        for offset, item_id in enumerate(rule.event.items):
            pin = Pin((rule.event.position or 0) + offset, rule.rule_id)
            pins[item_id] = min(pins.get(item_id, pin), pin)
    return dict(sorted(pins.items(), key=lambda entry: entry[1]))


NO_RULES: Final = RulesInForce()
