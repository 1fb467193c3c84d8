"""What must not be shown, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from domain.cursors import checksum
from domain.slates import Candidate, Filtered, Query, Removal, Removed
from schemas.events import ItemEvent

ItemOf = Callable[[str], ItemEvent | None]
"""The catalogue: what is known of an item."""


def remove_unwanted(query: Query, candidates: Iterable[Candidate], item_of: ItemOf) -> Filtered:
    """Leave out what the caller excludes or filters, an earlier page has shown, the visitor has acted on, the catalogue
    has deleted, or a rule hides.
    """
    seen = query.visitor.seen
    kept: list[Candidate] = []
    removed: list[Removed] = []
    for candidate in candidates:
        item_id = candidate.item_id
        if item_id in query.exclude:
            removed.append(Removed(candidate, Removal.EXCLUDED))
        elif query.shown_before and checksum(item_id) in query.shown_before:
            removed.append(Removed(candidate, Removal.SHOWN_BEFORE))
        elif item_id in seen:
            removed.append(Removed(candidate, Removal.SEEN))
        elif (objection := _objection(query, candidate, item_of(item_id))) is not None:
            removed.append(objection)
        else:
            kept.append(candidate)
    return Filtered(tuple(kept), tuple(removed))


def _objection(query: Query, candidate: Candidate, item: ItemEvent | None) -> Removed | None:
    """What its word in the catalogue means for a candidate. To a filter an unknown item has an id and nothing else."""
    if item is not None and item.deleted:
        return Removed(candidate, Removal.DELETED)
    if query.filter is not None and not query.filter.matches(item or ItemEvent(item_id=candidate.item_id)):
        return Removed(candidate, Removal.FILTERED)
    hidden_by = query.rules.verdict(candidate.item_id, item).hidden_by
    return Removed(candidate, Removal.RULE, hidden_by) if hidden_by else None
