"""What must not be shown, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from domain.cursors import checksum
from domain.filters import Filter
from domain.onboarding import named_category
from domain.rules import NO_RULES, RulesInForce
from domain.slates import UNWELCOME_KINDS, Candidate, Filtered, Query, Removal, Removed
from schemas.events import ItemEvent

ItemOf = Callable[[str], ItemEvent | None]
"""The catalogue: what is known of an item."""


class Shelf(Protocol):
    """The catalogue: what is known of items, and which of them count as one."""

    @property
    def has_variants(self) -> bool:
        """Whether some item counts as another one."""
        ...

    def item(self, item_id: str) -> ItemEvent | None:
        """What is known of the item."""
        ...

    def group_of(self, item_id: str) -> str:
        """What the item counts as."""
        ...


def remove_unwanted(query: Query, candidates: Iterable[Candidate], shelf: Shelf) -> Filtered:
    """Leave out what the caller excludes or filters, an earlier page has shown, the visitor has acted on, or the
    catalogue or a rule does not let be shown. What holds for an item holds for its variants.
    """
    group_of = shelf.group_of if shelf.has_variants else _itself
    exclude, seen = query.exclude, query.visitor.seen
    if shelf.has_variants:
        exclude, seen = frozenset(map(group_of, exclude)), frozenset(map(group_of, seen))
    kept: list[Candidate] = []
    removed: list[Removed] = []
    for candidate in candidates:
        item_id = candidate.item_id
        item, group = shelf.item(item_id), group_of(item_id)
        if group in exclude:
            removed.append(Removed(candidate, Removal.EXCLUDED))
        elif query.shown_before and checksum(group) in query.shown_before:
            removed.append(Removed(candidate, Removal.SHOWN_BEFORE))
        elif group in seen and not (item is not None and item.repeatable and _may_return(query, group, group_of)):
            removed.append(Removed(candidate, Removal.SEEN))
        elif (objection := objection_to(item_id, item, query.filter, query.rules, query.age)) is not None:
            removed.append(Removed(candidate, *objection))
        else:
            kept.append(candidate)
    return Filtered(tuple(kept), tuple(removed))


def objection_to(
    item_id: str,
    item: ItemEvent | None,
    wanted: Filter | None = None,
    rules: RulesInForce = NO_RULES,
    age: int | None = None,
) -> tuple[Removal, str] | None:
    """Why an item must not be shown to anybody who asks so, and the rule that says it; None when it may be.

    To a filter an item that the catalogue does not know has an id and nothing else.
    """
    if item is None:
        if named_category(item_id) is not None:
            return Removal.HIDDEN, ""
    elif item.deleted:
        return Removal.DELETED, ""
    elif item.hidden:
        return Removal.HIDDEN, ""
    elif not item.in_stock:
        return Removal.OUT_OF_STOCK, ""
    elif age is not None and item.age_min > age:
        return Removal.AGE, ""
    if wanted is not None and not wanted.matches(item or ItemEvent(item_id=item_id)):
        return Removal.FILTERED, ""
    hidden_by = rules.verdict(item_id, item).hidden_by
    return (Removal.RULE, hidden_by) if hidden_by else None


def _may_return(query: Query, group: str, group_of: Callable[[str], str]) -> bool:
    """Whether a repeatable item may be shown again: not in the session in which it was acted on, nor after a no."""
    visitor = query.visitor
    if any(group_of(act.item_id) == group for act in (*visitor.session, *visitor.at_hand)):
        return False
    return all(act.kind not in UNWELCOME_KINDS for act in visitor.past if group_of(act.item_id) == group)


def _itself(item_id: str) -> str:
    return item_id
