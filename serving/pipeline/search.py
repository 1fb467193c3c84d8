"""Search: the items whose titles have what somebody has typed, in the order in which they suit who asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from domain.slates import Query
from domain.unwanted import Shelf, objection_to
from serving.pipeline.rank import Rank, Ranked, Ranking
from serving.pipeline.retrieve import Model

MATCHES_MAX: Final = 2_000
"""Items with these words that are looked at; of more of them the popular ones."""

RANKED_MAX: Final = 200
"""Of these, so many are ordered for the visitor."""

POPULAR_MAX: Final = 10_000


class Titles(Protocol):
    """The words of all titles."""

    def find(self, words: Sequence[str]) -> set[str]:
        """The items whose title has, for every one of these words, a word that begins with it."""
        ...

    def words(self, item_id: str) -> tuple[str, ...]:
        """The words of an item's title."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """The best of the items that were found, `total` of them in all."""

    total: int
    ranking: Ranking
    places: tuple[Ranked, ...]


class Search:
    """Finds by words, leaves out what must not be shown to anybody, and lets `rank` order the rest.

    Seen items are found: whoever searches one wants it. A title that is just what was typed comes first, then those
    that have the words as they were typed, then those in which a word goes on.
    """

    def __init__(self, titles: Titles, shelf: Shelf, rank: Rank, model_of: Callable[[], Model | None]) -> None:
        self._titles = titles
        self._shelf = shelf
        self._rank = rank
        self._model_of = model_of
        self._popularity: tuple[str, dict[str, int]] = ("", {})

    async def __call__(self, query: Query, words: Sequence[str]) -> Found:
        """The best `query.count` items with these words."""
        matches = self._titles.find(words)
        places = self._places()
        looked_at = sorted(matches) if len(matches) <= MATCHES_MAX else self._popular_first(matches, places)
        wanted = self._one_of_variants([each for each in looked_at if self._may_be_shown(query, each)], places)
        nearness = {item_id: self._nearness(words, item_id) for item_id in wanted}
        wanted.sort(key=lambda item_id: (nearness[item_id], places.get(item_id, POPULAR_MAX)))
        ranking = await self._rank(query, wanted[:RANKED_MAX], with_reasons=False)
        ordered = sorted(ranking.places, key=lambda place: nearness[place.item_id])
        return Found(len(matches), ranking, tuple(ordered[: query.count]))

    def _may_be_shown(self, query: Query, item_id: str) -> bool:
        return objection_to(item_id, self._shelf.item(item_id), query.filter, query.rules, query.age) is None

    def _nearness(self, words: Sequence[str], item_id: str) -> int:
        """0: the title is what was typed; 1: it has all the words as typed; 2: a word of it goes on."""
        title = self._titles.words(item_id)
        if list(title) == list(words):
            return 0
        return 1 if set(words) <= set(title) else 2

    def _popular_first(self, matches: set[str], places: dict[str, int]) -> list[str]:
        popular = [item_id for item_id in places if item_id in matches]
        others = sorted(matches.difference(popular))
        return [*popular, *others][:MATCHES_MAX]

    def _one_of_variants(self, items: list[str], places: dict[str, int]) -> list[str]:
        if not self._shelf.has_variants:
            return items
        best: dict[str, str] = {}
        for item_id in sorted(items, key=lambda each: places.get(each, POPULAR_MAX)):
            best.setdefault(self._shelf.group_of(item_id), item_id)
        return list(best.values())

    def _places(self) -> dict[str, int]:
        """The places of the most popular items; made once a model."""
        model = self._model_of()
        if model is None:
            return {}
        version, places = self._popularity
        if version != model.version:
            places = {item_id: place for place, (item_id, _) in enumerate(model.popular(POPULAR_MAX))}
            self._popularity = (model.version, places)
        return places
