"""Filter: leave out what must not be shown, and look further when that leaves too little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Final

from domain.slates import Candidate, Filtered, Query, Source
from domain.unwanted import ItemOf, remove_unwanted
from serving.pipeline.retrieve import Model

LOOKED_AT_MAX: Final = 5_000
"""Popular items that are looked at when a filter leaves too few candidates: a few milliseconds at most."""


class Filter:
    """Keeps the candidates that may be shown, and says of the others why not."""

    def __init__(self, model_of: Callable[[Query], Model | None], item_of: ItemOf) -> None:
        self._model_of = model_of
        self._item_of = item_of

    def __call__(self, query: Query, candidates: tuple[Candidate, ...]) -> Filtered:
        """What is kept, in order, and what is removed.

        Sources propose without regard to filters and pages; where a filter, a rule or earlier pages leave less than a
        slate, popular items that pass make up for that. Items that a rule pins are among the candidates whether a
        source proposed them or not.
        """
        candidates = (*candidates, *_pinned(query, candidates))
        filtered = remove_unwanted(query, candidates, self._item_of)
        kept = {candidate.item_id for candidate in filtered.kept}
        missing = query.count - len(kept)
        if missing <= 0 or not _is_narrowed(query) or Source.POPULAR not in query.sources:
            return filtered
        return replace(filtered, kept=(*filtered.kept, *self._further(query, kept, candidates)))

    def _further(self, query: Query, kept: set[str], candidates: tuple[Candidate, ...]) -> list[Candidate]:
        model = self._model_of(query)
        met = {candidate.item_id for candidate in candidates}
        popular = model.popular(LOOKED_AT_MAX) if model else []
        fresh = (Candidate(item_id, Source.POPULAR, score) for item_id, score in popular if item_id not in met)
        passing = (one for one in fresh if remove_unwanted(query, (one,), self._item_of).kept)
        return list(islice(passing, query.count - len(kept)))


def _pinned(query: Query, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """The pinned items that nobody proposed."""
    if not query.rules.pins:
        return ()
    proposed = {candidate.item_id for candidate in candidates}
    return tuple(Candidate(item_id, Source.PINNED, 0.0) for item_id in query.rules.pins if item_id not in proposed)


def _is_narrowed(query: Query) -> bool:
    return query.filter is not None or query.rules.narrows or bool(query.shown_before)
