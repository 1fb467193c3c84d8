"""Retrieve: ask each source for candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from domain.slates import Candidate, Query, Source

Scored = Sequence[tuple[str, float]]
"""Items with their scores, best first."""

POOL_MIN: Final = 100
"""Candidates, at least: enough for filters and caps to choose from."""


class Model(Protocol):
    """What one artifact can do. Its calls take a few milliseconds of this thread and never wait."""

    @property
    def version(self) -> str:
        """The artifact's name."""
        ...

    @property
    def cutoff_ms(self) -> int:
        """Up to when it has learnt."""
        ...

    def knows(self, item_id: str) -> bool:
        """Whether the item is in the model's vocabulary."""
        ...

    def rank(self, item_ids: Sequence[str], k: int) -> Scored:
        """What sessions like this one (oldest first) went on to."""
        ...

    def scores(self, item_ids: Sequence[str], candidates: Sequence[str]) -> Mapping[str, float]:
        """By candidate how well it goes on from this session, on the scale of `rank`; without unknown candidates."""
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
    """Asks the sources in the order of their worth until there are candidates enough."""

    def __init__(self, model_of: Callable[[Query], Model | None], trends: Trends) -> None:
        self._model_of = model_of
        self._trends = trends

    def __call__(self, query: Query) -> tuple[Candidate, ...]:
        """The candidates of all sources that were asked; an item may stand among them once a source."""
        enough = max(POOL_MIN, 2 * query.count) + len(query.exclude) + len(query.shown_before) + len(query.visitor.seen)
        candidates: list[Candidate] = []
        items: set[str] = set()
        for source, ask in self._sources(query):
            if source not in query.sources:
                continue
            scored = ask(enough)
            candidates += [Candidate(item_id, source, score) for item_id, score in scored]
            items.update(item_id for item_id, _ in scored)
            if len(items) >= enough:
                break
        return tuple(candidates)

    def _sources(self, query: Query) -> Iterator[tuple[Source, Callable[[int], Scored]]]:
        model = self._model_of(query)
        basis = [act.item_id for act in query.visitor.basis]
        if model is not None and basis:
            yield Source.SESSION, partial(model.rank, basis)
            yield Source.SIMILAR, partial(model.similar, basis[-1])
        yield Source.TRENDING, self._trends.trending
        if model is not None:
            yield Source.POPULAR, model.popular
