"""Retrieve: ask each source for candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, Protocol

from domain.slates import Candidate, Query, Source

Scored = Sequence[tuple[str, float]]
"""Items with their scores, best first."""

POOL_MIN: Final = 100
"""Candidates, at least: enough for filters and caps to choose from."""

NEW_QUOTA: Final = 10
TASTE_QUOTA: Final = 20
HISTORY_LEAST: Final = 5
"""Different items that make a history of which a taste can be told."""


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

    @property
    def instant(self) -> Model:
        """The same for `Tier.INSTANT`."""
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

    def new_alike(self, item_ids: Sequence[str], k: int) -> Scored:
        """Items on which nobody has acted, by what they have in common with the items of a session (oldest first):
        the sum of the cosines, the newer the item the more. Empty when the model has no catalogue.
        """
        ...

    def to_taste(self, item_ids: Sequence[str], k: int) -> Scored:
        """What is to the taste of who has this history (oldest first): about 1 for what they would surely take.

        Empty when the model knows no tastes.
        """
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
    """Asks what knows the visitor, each source for its quota, and then what everybody is shown until there is enough.

    The line-up judges what its own sources did not propose: an item to somebody's taste stands twice among the
    candidates, with the score of the source and with that of the line-up. New items it cannot judge; they get places of
    their own (`domain.new_items`).
    """

    def __init__(self, model_of: Callable[[Query], Model | None], trends: Trends) -> None:
        self._model_of = model_of
        self._trends = trends

    def __call__(self, query: Query) -> tuple[Candidate, ...]:
        """The candidates of all sources that were asked; an item may stand among them once a source."""
        enough = max(POOL_MIN, 2 * query.count) + len(query.exclude) + len(query.shown_before) + len(query.visitor.seen)
        model = self._model_of(query)
        candidates = [] if model is None else list(_of_visitor(query, model, enough))
        items = {candidate.item_id for candidate in candidates}
        for source, ask in self._of_everybody(query, model):
            if len(items) >= enough:
                break
            if source not in query.sources:
                continue
            scored = ask(enough)
            candidates += [Candidate(item_id, source, score) for item_id, score in scored]
            items.update(item_id for item_id, _ in scored)
        return tuple(candidates)

    def _of_everybody(self, query: Query, model: Model | None) -> Iterator[tuple[Source, Callable[[int], Scored]]]:
        if model is not None and query.visitor.basis:
            yield Source.SIMILAR, partial(model.similar, query.visitor.basis[-1].item_id)
        yield Source.TRENDING, self._trends.trending
        if model is not None:
            yield Source.POPULAR, model.popular


def _of_visitor(query: Query, model: Model, enough: int) -> Iterator[Candidate]:
    """What the line-up, the catalogue and the visitor's taste propose to this visitor."""
    visitor, proposed = query.visitor, dict[str, float]()
    basis = [act.item_id for act in visitor.basis]
    if basis and Source.SESSION in query.sources:
        proposed = dict(model.rank(basis, enough))
        yield from _proposed_by(Source.SESSION, proposed.items())
    if basis and Source.CONTENT in query.sources:
        yield from _proposed_by(Source.CONTENT, model.new_alike(basis, NEW_QUOTA))
    if Source.TASTE in query.sources and len(visitor.liked) >= HISTORY_LEAST:
        wanted = TASTE_QUOTA + len(visitor.seen)
        liked = [each for each in model.to_taste(visitor.liked, wanted) if each[0] not in visitor.seen]
        liked = [each for each in liked if each[0] not in proposed][:TASTE_QUOTA]
        yield from _proposed_by(Source.TASTE, liked)
        if liked and proposed:
            judged = model.scores(basis, [item_id for item_id, _ in liked])
            yield from _proposed_by(Source.SESSION, judged.items())


def _proposed_by(source: Source, scored: Iterable[tuple[str, float]]) -> Iterator[Candidate]:
    return (Candidate(item_id, source, score) for item_id, score in scored if score > 0)
