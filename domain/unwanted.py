"""What must not be shown, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from domain.slates import Candidate, Filtered, Query, Removal, Removed
from schemas.events import ItemEvent

ItemOf = Callable[[str], ItemEvent | None]
"""The catalogue: what is known of an item."""


def remove_unwanted(query: Query, candidates: Iterable[Candidate], item_of: ItemOf) -> Filtered:
    """Leave out what the caller excludes or filters, what the visitor has seen, and what the catalogue has deleted."""
    seen = query.visitor.seen
    kept: list[Candidate] = []
    removed: list[Removed] = []
    for candidate in candidates:
        item_id = candidate.item_id
        if item_id in query.exclude:
            removed.append(Removed(candidate, Removal.EXCLUDED))
        elif item_id in seen:
            removed.append(Removed(candidate, Removal.SEEN))
        elif (why := _objection(query, item_id, item_of)) is not None:
            removed.append(Removed(candidate, why))
        else:
            kept.append(candidate)
    return Filtered(tuple(kept), tuple(removed))


def _objection(query: Query, item_id: str, item_of: ItemOf) -> Removal | None:
    """What the catalogue has against it. An item that it does not know has, to a filter, an id and nothing else."""
    item = item_of(item_id)
    if item is not None and item.deleted:
        return Removal.DELETED
    if query.filter is not None and not query.filter.matches(item or ItemEvent(item_id=item_id)):
        return Removal.FILTERED
    return None
