"""Retrieve: ask each source for candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from domain.slates import Candidate, Query, Source

Scored = Sequence[tuple[str, float]]
"""Items with their scores, best first."""

POOL_MIN: Final = 100
"""Candidates of the first source, at least: enough for filters and caps to choose from."""


class Model(Protocol):
    """What one artifact can do. Its calls take well under a millisecond and never wait."""

    @property
    def version(self) -> str:
        """The artifact's name."""
        ...

    def knows(self, item_id: str) -> bool:
        """Whether the item is in the model's vocabulary."""
        ...

    def rank(self, item_ids: Sequence[str], k: int) -> Scored:
        """What sessions like this one (oldest first) went on to."""
        ...

    def similar(self, item_id: str, k: int) -> Scored:
        """What goes with one item; empty when the model does not know it."""
        ...

    def popular(self, k: int) -> Scored:
        """What everybody takes."""
        ...

    def because(self, item_ids: Sequence[str], candidates: Sequence[str]) -> Sequence[str | None]:
        """For each candidate the item of the session (oldest first) without which `rank` would score it lowest."""
        ...


class Trends(Protocol):
    """What is happening now."""

    def trending(self, k: int) -> Scored:
        """Items above their usual level, best first."""
        ...


class Retrieve:
    """Collects candidates from all sources that can say something."""

    def __init__(self, model_of: Callable[[], Model | None], trends: Trends) -> None:
        self._model_of = model_of
        self._trends = trends

    def __call__(self, query: Query) -> tuple[Candidate, ...]:
        """The union of the sources; an item may stand in it once a source."""
        enough = query.count + len(query.exclude) + len(query.visitor.seen)
        pool = max(POOL_MIN, 2 * query.count) + len(query.exclude) + len(query.visitor.seen)
        return tuple(
            Candidate(item_id, source, score)
            for source, scored in self._ask(query, pool, enough)
            for item_id, score in scored
        )

    def _ask(self, query: Query, pool: int, enough: int) -> Iterator[tuple[Source, Scored]]:
        model = self._model_of()
        basis = [act.item_id for act in query.visitor.basis]
        if model is not None and basis:
            yield Source.SESSION_KNN, model.rank(basis, pool)
            yield Source.SIMILAR, model.similar(basis[-1], query.count)
        yield Source.TRENDING, self._trends.trending(enough)
        if model is not None:
            yield Source.POPULAR, model.popular(enough)
