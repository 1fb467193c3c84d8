"""One rule: its terms checked, its filter parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.filters import Filter, FilterError
from schemas.errors import ContractError
from schemas.events import ItemEvent
from schemas.rules import Action, RuleEvent, RuleTerms

_NEEDS: Final[dict[Action, tuple[tuple[str, ...], str]]] = {
    "pin": (("items",), 'name the items to pin: "items": ["a"]'),
    "boost": (("items", "where"), 'name what to boost: "items": ["a"] or "where": "price < 20"'),
    "hide": (("items", "where"), 'name what to hide: "items": ["a"] or "where": "price < 20"'),
    "filter": (("where",), 'say what may be shown: "where": "price < 20"'),
}
"""For each action the fields of which one says what it is about, and what to do when none is there."""


class RuleError(ContractError):
    """The terms of a rule do not go together, or its filter is none.

    Args:
        field: the field to change.
        problem: what is wrong with it.
        remedy: what to write instead.
        position: the first wrong character of a filter, counted from 1.
    """

    def __init__(self, field: str, problem: str, remedy: str, position: int | None = None) -> None:
        self.field = field
        self.problem = problem
        self.remedy = remedy
        self.position = position
        super().__init__(f"{field}: {problem}; {remedy}")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, ready for items."""

    event: RuleEvent
    items: frozenset[str]
    where: Filter | None

    @classmethod
    def of(cls, event: RuleEvent) -> Rule:
        """From its stored form. Raises RuleError."""
        _check(event)
        try:
            where = None if event.where is None else Filter.of(event.where)
        except FilterError as error:
            raise RuleError("where", error.problem, error.remedy, error.position) from error
        return cls(event, frozenset(event.items), where)

    @property
    def rule_id(self) -> str:
        """Its name."""
        return self.event.rule_id

    def holds(self, placement: str, at_ms: int) -> bool:
        """Whether it is in force there and then."""
        event = self.event
        return (
            event.enabled
            and (not event.placements or placement in event.placements)
            and (event.starts_at_ms is None or event.starts_at_ms <= at_ms)
            and (event.ends_at_ms is None or at_ms < event.ends_at_ms)
        )

    def covers(self, item: ItemEvent) -> bool:
        """Whether the item is named, or fulfils the filter."""
        return item.item_id in self.items or (self.where is not None and self.where.matches(item))


def _check(terms: RuleTerms) -> None:
    needed, remedy = _NEEDS[terms.action]
    given = [name for name in ("items", "where") if getattr(terms, name)]
    if not set(given) & set(needed):
        raise RuleError(needed[0], f"a {terms.action} must say what it is about", remedy)
    for name in given:
        if name not in needed:
            raise RuleError(name, f"a {terms.action} has none", "leave it out")
    for name, action in (("position", "pin"), ("factor", "boost")):
        if getattr(terms, name) is not None and terms.action != action:
            raise RuleError(name, f"a {terms.action} has none", "leave it out")
    if terms.action == "boost" and terms.factor is None:
        raise RuleError("factor", "a boost must say how much", 'above 1 to lift, below to sink: "factor": 2')
    if terms.starts_at_ms is not None and terms.ends_at_ms is not None and terms.ends_at_ms <= terms.starts_at_ms:
        raise RuleError("ends_at_ms", "the rule would end before it starts", "give a later instant")
