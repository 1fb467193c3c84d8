"""Trending: what is happening, whoever asks, in a window of time and a category."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import chain, islice
from typing import Final, Protocol

from domain.policies import DAY_MS
from domain.rules import NO_RULES, RulesInForce
from domain.slates import Candidate, Source
from domain.unwanted import ItemOf, objection_to
from serving.pipeline.retrieve import Model, Scored

LOOKED_AT_MAX: Final = 5_000
"""Popular items that are looked at for those of a category: a few milliseconds at most."""


class TrendWindow(StrEnum):
    """`now`: above the item's usual level, in hours. The others: most interactions since then, by whole buckets."""

    NOW = "now"
    DAY = "day"
    WEEK = "week"


WINDOWS_MS: Final[Mapping[TrendWindow, int]] = {TrendWindow.DAY: DAY_MS, TrendWindow.WEEK: 7 * DAY_MS}


class WindowedTrends(Protocol):
    """What is happening, by window."""

    def within(self, window: TrendWindow, k: int) -> Scored:
        """The items of a window, best first."""
        ...


class Trending:
    """Lists for everybody."""

    def __init__(self, trends: WindowedTrends, model_of: Callable[[], Model | None], item_of: ItemOf) -> None:
        self._trends = trends
        self._model_of = model_of
        self._item_of = item_of

    def __call__(
        self,
        window: TrendWindow,
        category: str | None,
        count: int,
        *,
        rules: RulesInForce = NO_RULES,
        age: int | None = None,
    ) -> Sequence[Candidate]:
        """What is happening in the window, then what is popular at all; of one category, or of all, and of variants the
        best. Rules may hide items, and `age` is that of the youngest who looks on.
        """
        model = self._model_of()
        trending = self._trends.within(window, LOOKED_AT_MAX)
        known = {item_id for item_id, _ in trending}
        popular = model.popular(LOOKED_AT_MAX) if model is not None else []
        found = chain(
            (Candidate(item_id, Source.TRENDING, score) for item_id, score in trending),
            (Candidate(item_id, Source.POPULAR, score) for item_id, score in popular if item_id not in known),
        )
        return list(islice(self._wanted(found, category, rules, age), count))

    def _wanted(
        self, found: Iterable[Candidate], category: str | None, rules: RulesInForce, age: int | None
    ) -> Iterator[Candidate]:
        groups: set[str] = set()
        for candidate in found:
            item = self._item_of(candidate.item_id)
            group = candidate.item_id if item is None else item.variant_of or candidate.item_id
            is_of_category = category is None or (item is not None and category in item.categories)
            if (
                is_of_category
                and group not in groups
                and objection_to(candidate.item_id, item, None, rules, age) is None
            ):
                groups.add(group)
                yield candidate
