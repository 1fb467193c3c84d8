"""Filter: leave out what must not be shown, and look further when that leaves too little."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import islice
from typing import Final

from domain.slates import Candidate, Filtered, Query, Removal, Removed, Source
from domain.unwanted import Shelf, remove_unwanted
from serving.pipeline.retrieve import Model

LOOKED_AT_MAX: Final = 5_000
"""Popular items that are looked at when a filter leaves too few candidates: a few milliseconds at most."""

PIECE: Final = 200
BY_THE_CATALOGUE: Final = frozenset({Removal.DELETED, Removal.HIDDEN, Removal.OUT_OF_STOCK, Removal.AGE})


class Filter:
    """Keeps the candidates that may be shown, and says of the others why not."""

    def __init__(
        self,
        model_of: Callable[[Query], Model | None],
        shelf: Shelf,
        rested_for: Callable[[Query], Collection[str]] = lambda query: (),
    ) -> None:
        self._model_of = model_of
        self._shelf = shelf
        self._rested_for = rested_for

    def __call__(self, query: Query, candidates: tuple[Candidate, ...]) -> Filtered:
        """What is kept, in order, and what is removed.

        Sources propose without regard to filters and pages; where a filter, a rule or earlier pages leave less than a
        slate, popular items that pass make up for that. Items that a rule pins are among the candidates whether a
        source proposed them or not. Items that rest are left out while there are others enough.
        """
        candidates = (*candidates, *_pinned(query, candidates))
        filtered = _without_rested(query, remove_unwanted(query, candidates, self._shelf), self._rested_for(query))
        kept = {candidate.item_id for candidate in filtered.kept}
        missing = query.count - len(kept)
        if missing <= 0 or not _is_narrowed(query, filtered) or Source.POPULAR not in query.sources:
            return filtered
        return replace(filtered, kept=(*filtered.kept, *self._further(query, kept, candidates)))

    def _further(self, query: Query, kept: set[str], candidates: tuple[Candidate, ...]) -> list[Candidate]:
        model = self._model_of(query)
        met = {candidate.item_id for candidate in candidates}
        popular = model.popular(LOOKED_AT_MAX) if model else []
        fresh = (Candidate(item_id, Source.POPULAR, score) for item_id, score in popular if item_id not in met)
        found: list[Candidate] = []
        while len(found) < query.count - len(kept) and (piece := tuple(islice(fresh, PIECE))):
            found += remove_unwanted(query, piece, self._shelf).kept
        return found[: query.count - len(kept)]


def _pinned(query: Query, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The pinned items that nobody proposed."""
    if not query.rules.pins:
        return ()
    proposed = {candidate.item_id for candidate in candidates}
    return tuple(Candidate(item_id, Source.PINNED, 0.0) for item_id in query.rules.pins if item_id not in proposed)


def _without_rested(query: Query, filtered: Filtered, rested: Collection[str]) -> Filtered:
    if not rested:
        return filtered
    awake = tuple(one for one in filtered.kept if one.item_id not in rested or one.item_id in query.rules.pins)
    kept = set(awake)
    if len({one.item_id for one in awake}) < query.count:
        return filtered
    resting = tuple(Removed(one, Removal.RESTED) for one in filtered.kept if one not in kept)
    return Filtered(awake, (*filtered.removed, *resting))


def _is_narrowed(query: Query, filtered: Filtered) -> bool:
    """Whether it is no wonder that few are left: the sources know nothing of what was asked for or may be shown."""
    if query.filter is not None or query.rules.narrows or query.shown_before:
        return True
    return any(each.why in BY_THE_CATALOGUE for each in filtered.removed)
