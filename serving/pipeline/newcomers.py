"""Newcomers: what is popular, and popular in the categories that they have named, beside what the sources propose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from domain.newcomers import is_newcomer
from domain.onboarding import categories_named
from domain.policies import MINUTE_MS
from domain.slates import Candidate, Query, Source
from serving.pipeline.retrieve import Model

PROPOSED: Final = 100
"""Popular items that are proposed, and so many of each category."""

LOOKED_AT_MAX: Final = 5_000
"""Popular items that are looked at for those of a category: a few milliseconds at most, once a minute."""

NAMED_MAX: Final = 5
"""Categories of a visitor that count: those named last."""

REMEMBERED_MAX: Final = 1_000

Retrieve = Callable[[Query], tuple[Candidate, ...]]


class ForNewcomers:
    """A retrieval that also proposes the popular items of the categories that a visitor has named, and to a newcomer
    what is popular at all, so that it counts for what the other sources propose (`domain.newcomers`).
    """

    def __init__(
        self,
        retrieve: Retrieve,
        model_of: Callable[[Query], Model | None],
        categories_of: Callable[[str], Sequence[str]],
    ) -> None:
        self._retrieve = retrieve
        self._model_of = model_of
        self._categories_of = categories_of
        self._known: dict[tuple[str, str], tuple[int, list[Candidate]]] = {}  # by model and category: (made, items)

    def __call__(self, query: Query) -> tuple[Candidate, ...]:
        """All candidates. An item of several named categories is proposed once for each."""
        candidates = self._retrieve(query)
        model = self._model_of(query)
        return candidates if model is None else (*candidates, *self._added(query, candidates, model))

    def _added(self, query: Query, candidates: Sequence[Candidate], model: Model) -> Iterator[Candidate]:
        named = categories_named((*query.visitor.past, *query.visitor.session))
        if named and Source.CATEGORY in query.sources:
            for category in named[:NAMED_MAX]:
                yield from self._popular_in(category, model, query.asked_at_ms)
        is_asked = any(each.source is Source.POPULAR for each in candidates)
        if Source.POPULAR in query.sources and not is_asked and is_newcomer(query):
            yield from (Candidate(item_id, Source.POPULAR, score) for item_id, score in model.popular(PROPOSED))

    def _popular_in(self, category: str, model: Model, now_ms: int) -> list[Candidate]:
        """The popular items of a category, the best with a score of 1; found anew every minute."""
        key = (model.version, category)
        made_at_ms, found = self._known.get(key, (0, []))
        if now_ms - made_at_ms < MINUTE_MS:
            return found
        of_category = (each for each in model.popular(LOOKED_AT_MAX) if category in self._categories_of(each[0]))
        popular = list(islice(of_category, PROPOSED))
        best = max((score for _, score in popular), default=0.0)
        found = [Candidate(item_id, Source.CATEGORY, score / best if best > 0 else 0.0) for item_id, score in popular]
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[key] = (now_ms, found)
        return found
