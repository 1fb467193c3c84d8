"""What is a good answer worth? One number for what happened with an item after it could have been recommended.

    relevance = weighted mean of the parts below, each between 0 and 1; 0 for an item that nobody acted on, or disliked
      click       1: the visitor acted on it at all
      value       the most that its interactions say: a purchase 1, a like 1, a rating its share of the highest
      watch_time  watched / (watched + half): the first minutes count most
      completion  the share of the item's length that was watched; 0 where its length is not known
      diversity   1 when it has no category of what the visitor had before, and has one at all
      freshness   halves with each half-life of the item's age when asked; 0 where it is not known

Rankers learn from grades, the relevance in `GRADES` steps. The weights are settings, `FIRTH_OBJECTIVES__CLICK` etc.
With the defaults, an item that was looked at is worth half of one that was bought.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Final

from domain.policies import DAY_MS, MINUTE_MS
from schemas.events import KINDS, Kind

GRADES: Final = 20
"""The grade of relevance 1; anything above 0 has at least grade 1."""

WEIGHT_MAX: Final = 1_000.0
REFUSED: Final[frozenset[Kind]] = frozenset({"dislike", "hide"})
WORTH: Final[Mapping[Kind, float]] = {"cart": 0.5, "play": 0.2, "like": 1.0, "purchase": 1.0}
"""What an interaction of a kind is worth by itself; a rating is worth its value, and all else is only a click."""


@dataclass(frozen=True, slots=True)
class Objectives:
    """How much each part of the relevance weighs, and where its scale lies. Weights are from 0 to `WEIGHT_MAX`."""

    click: float = 1.0
    value: float = 1.0
    watch_time: float = 0.0
    completion: float = 0.0
    diversity: float = 0.0
    freshness: float = 0.0
    rating_highest: float = 5.0
    watched_half_ms: int = 10 * MINUTE_MS
    freshness_half_life_ms: int = 30 * DAY_MS

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if not 0 <= weight <= WEIGHT_MAX:
                raise ValueError(f"the weight of {name} is {weight}, not from 0 to {WEIGHT_MAX:g}")
        if not sum(self.weights.values()):
            raise ValueError("all weights are 0, so that nothing would be worth anything: set one above it")
        if not min(self.rating_highest, self.watched_half_ms, self.freshness_half_life_ms) > 0:
            raise ValueError(f"the highest rating, the half and the half-life must be above 0 in {self}")

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each part."""
        return {name: getattr(self, name) for name in PARTS}


PARTS: Final = tuple(field.name for field in fields(Objectives))[:6]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One interaction with the item after the question. `value` is what the event says: of a play watched ms."""

    kind: Kind
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What was known when the question was asked: of the item, and what the visitor had before."""

    asked_at_ms: int = 0
    categories: frozenset[str] = frozenset()
    published_at_ms: int | None = None
    duration_ms: int | None = None
    categories_before: frozenset[str] = frozenset()


def relevance(outcomes: Iterable[Outcome], offer: Offer, objectives: Objectives) -> float:
    """The worth of what happened with one item after one question, from 0 to 1; see the module's docstring."""
    happened = tuple(outcomes)
    if not happened or any(outcome.kind in REFUSED for outcome in happened):
        return 0.0
    watched_ms = sum(max(outcome.value or 0.0, 0.0) for outcome in happened if outcome.kind == "play")
    parts = {
        "click": 1.0,
        "value": max(_worth(outcome.kind, outcome.value, objectives) for outcome in happened),
        "watch_time": watched_ms / (watched_ms + objectives.watched_half_ms),
        "completion": min(watched_ms / offer.duration_ms, 1.0) if offer.duration_ms else 0.0,
        "diversity": 1.0 if offer.categories and not offer.categories & offer.categories_before else 0.0,
        "freshness": _freshness(offer, objectives),
    }
    weights = objectives.weights
    return sum(weights[name] * part for name, part in parts.items()) / sum(weights.values())


def grade(worth: float) -> int:
    """A relevance as the integer that a ranker learns from: 0 for nothing, else 1 to `GRADES`."""
    return max(1, round(worth * GRADES)) if worth > 0 else 0


def kind_gains(objectives: Objectives) -> dict[str, float]:
    """What one interaction of each kind says of a taste, without its value: the weights of matrix factorisation.

    A dislike takes away as much as the best kind gives.
    """
    gains: dict[str, float] = {kind: objectives.click + objectives.value * WORTH.get(kind, 0.0) for kind in KINDS}
    return gains | dict.fromkeys(REFUSED, -max(gains.values()))


def _worth(kind: Kind, value: float | None, objectives: Objectives) -> float:
    if kind == "rating":
        return min(max((value or 0.0) / objectives.rating_highest, 0.0), 1.0)
    return WORTH.get(kind, 0.0)


def _freshness(offer: Offer, objectives: Objectives) -> float:
    if offer.published_at_ms is None:
        return 0.0
    age_ms = max(offer.asked_at_ms - offer.published_at_ms, 0)
    return float(0.5 ** (age_ms / objectives.freshness_half_life_ms))
