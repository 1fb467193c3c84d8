"""Exploration: the last places of a slate drawn by lot, each with the probability of its draw.

A place is drawn, with probability `rate`, evenly from the item that stands there and the next best ones that the cut
left out; else its item stays. The propensity of a place is the probability of what it got, given the places before it;
all of them are known, so off-policy estimates from the log are exact.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from domain.experiments.assigned import Exploration
from domain.slates import Candidate, Filtered, Query, Removal, Removed

POOL_MAX: Final = 50
"""Next best items to draw from: far enough to learn something, near enough to be worth a look."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The chosen items, some of them drawn, with a propensity each."""

    chosen: Filtered
    propensities: tuple[float, ...]


def draw_by_lot(
    query: Query,
    chosen: Filtered,
    exploration: Exploration,
    categories_of: Callable[[str], Sequence[str]],
    lot: Random,
) -> Drawn:
    """The slate with its last places drawn. What lost its place to a draw is `BELOW_THE_CUT`.

    An item whose category has reached the query's cap is not drawn.
    """
    kept, removed = list(chosen.kept), list(chosen.removed)
    propensities = [1.0] * len(kept)
    pool = [each for each in removed if each.why is Removal.BELOW_THE_CUT][:POOL_MAX]
    for place in range(max(0, len(kept) - exploration.slots), len(kept)):
        fitting = _fitting(pool, kept[:place] + kept[place + 1 :], query.category_cap, categories_of)
        if not fitting:
            continue
        by_lot = exploration.rate / (len(fitting) + 1)
        propensities[place] = 1 - exploration.rate + by_lot
        if lot.random() >= exploration.rate:
            continue
        number = lot.randrange(len(fitting) + 1)
        if number < len(fitting):
            winner = fitting[number]
            loser = Removed(kept[place], Removal.BELOW_THE_CUT)
            kept[place], propensities[place] = winner.candidate, by_lot
            removed[removed.index(winner)] = loser
            pool[pool.index(winner)] = loser
    return Drawn(Filtered(tuple(kept), tuple(removed)), tuple(propensities))


def _fitting(
    pool: Sequence[Removed],
    others: Sequence[Candidate],
    category_cap: int | None,
    categories_of: Callable[[str], Sequence[str]],
) -> list[Removed]:
    """Those of the pool that can stand beside the others without breaking the cap."""
    if category_cap is None:
        return list(pool)
    taken = Counter(category for other in others for category in categories_of(other.item_id))
    return [
        each
        for each in pool
        if all(taken[category] < category_cap for category in categories_of(each.candidate.item_id))
    ]
