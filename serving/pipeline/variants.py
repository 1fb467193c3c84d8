"""Variants: of items that count as one, only the best stands in a slate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.slates import Candidate, Query, Removal, Removed, Slate
from domain.unwanted import Shelf

Compose = Callable[[Query, Sequence[Candidate], tuple[Removed, ...]], Slate]


class OneOfVariants:
    """A composition that gets one candidate of each group."""

    def __init__(self, compose: Compose, shelf: Shelf) -> None:
        self._compose = compose
        self._shelf = shelf

    def __call__(self, query: Query, ranked: Sequence[Candidate], removed: tuple[Removed, ...]) -> Slate:
        """The slate; the lesser variants are removed before anything is composed."""
        if not self._shelf.has_variants:
            return self._compose(query, ranked, removed)
        chosen, lesser = best_of_variants(query, ranked, self._shelf)
        return self._compose(query, chosen, (*removed, *lesser))


def best_of_variants(
    query: Query, ranked: Sequence[Candidate], shelf: Shelf
) -> tuple[list[Candidate], tuple[Removed, ...]]:
    """The candidates in their order with the best one alone of each group, a pinned one before all; and the others."""
    best: dict[str, str] = {}
    for candidate in sorted(ranked, key=lambda each: each.item_id not in query.rules.pins):
        best.setdefault(shelf.group_of(candidate.item_id), candidate.item_id)
    chosen: list[Candidate] = []
    lesser: list[Removed] = []
    for candidate in ranked:
        if best[shelf.group_of(candidate.item_id)] == candidate.item_id:
            chosen.append(candidate)
        else:
            lesser.append(Removed(candidate, Removal.VARIANT))
    return chosen, tuple(lesser)
