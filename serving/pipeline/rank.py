"""Rank: order items that the caller has found, such as the results of a search, for a visitor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from domain.slates import Act, Degradation, Query
from domain.unwanted import ItemOf
from serving.pipeline.retrieve import Model

EVERY: Final = 2**31
"""More items than any model knows."""


class RankedBy(StrEnum):
    """What an item's place follows from, best first."""

    SESSION = "session"
    POPULARITY = "popularity"
    NOTHING = "nothing"
    UNKNOWN = "unknown"


@dataclass(slots=True, unsafe_hash=True)
class Ranked:
    """One place. `score` is the model's where the session decided, else 0. Not frozen, as `domain.slates.Candidate`."""

    item_id: str
    by: RankedBy
    score: float = 0.0
    because: Act | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """The items in order, and what is known of who asked."""

    query: Query
    places: tuple[Ranked, ...]
    model_version: str


class Rank:
    """Orders given items: those that go on from the session, then popular ones, then those that only the catalogue
    knows, and last those of which nobody has heard.
    """

    def __init__(
        self,
        hydrate: Callable[[Query], Awaitable[Query]],
        model_of: Callable[[], Model | None],
        item_of: ItemOf,
        footing: Callable[[int], tuple[Degradation, ...]],
    ) -> None:
        self._hydrate = hydrate
        self._model_of = model_of
        self._item_of = item_of
        self._footing = footing
        self._popularity: tuple[str, dict[str, int]] = ("", {})

    async def __call__(self, query: Query, items: Sequence[str], with_reasons: bool = False) -> Ranking:
        """Each different item once. Nothing is left out: not what the visitor has seen nor what was deleted."""
        query = replace(query, degraded=(*query.degraded, *self._footing(query.asked_at_ms)))
        query = await self._hydrate(query)
        model = self._model_of()
        distinct = tuple(dict.fromkeys(items))
        places = self._ordered(query, distinct, model)
        if with_reasons and model is not None:
            places = _with_reasons(query, places, model)
        return Ranking(query, places, model.version if model is not None else "")

    def _ordered(self, query: Query, items: Sequence[str], model: Model | None) -> tuple[Ranked, ...]:
        basis = [act.item_id for act in query.visitor.basis]
        scores = model.scores(basis, items) if model is not None and basis else {}
        popular = self._places(model) if model is not None else {}
        by: dict[RankedBy, list[str]] = {each: [] for each in RankedBy}
        for item_id in items:
            by[self._decided_by(item_id, scores, popular)].append(item_id)
        by[RankedBy.SESSION].sort(key=lambda item_id: -scores[item_id])
        by[RankedBy.POPULARITY].sort(key=popular.__getitem__)
        return tuple(Ranked(item_id, each, scores.get(item_id, 0.0)) for each, found in by.items() for item_id in found)

    def _decided_by(self, item_id: str, scores: Mapping[str, float], popular: Mapping[str, int]) -> RankedBy:
        if scores.get(item_id, 0.0) > 0:
            return RankedBy.SESSION
        if item_id in popular:
            return RankedBy.POPULARITY
        return RankedBy.UNKNOWN if self._item_of(item_id) is None else RankedBy.NOTHING

    def _places(self, model: Model) -> dict[str, int]:
        """The popularity place of every item; made once a model."""
        version, places = self._popularity
        if version != model.version:
            places = {item_id: place for place, (item_id, _) in enumerate(model.popular(EVERY))}
            self._popularity = (model.version, places)
        return places


def _with_reasons(query: Query, places: tuple[Ranked, ...], model: Model) -> tuple[Ranked, ...]:
    """Name the act behind each place that the session decided."""
    basis = query.visitor.basis
    newest = {act.item_id: act for act in basis}
    personal = [place.item_id for place in places if place.by is RankedBy.SESSION]
    cited = dict(zip(personal, model.because([act.item_id for act in basis], personal), strict=True))
    return tuple(replace(place, because=newest.get(cited.get(place.item_id) or "")) for place in places)
