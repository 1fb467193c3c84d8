"""Placements: where a slate stands, and what holds for it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.slates import Placement, Source, Tier

COUNT_MAX: Final = 100
"""Places of a slate."""


@dataclass(frozen=True, slots=True)
class PlacementPolicy:
    """Which sources a placement asks, how many items it shows unless told, how many of one category, and how much is
    done for it.
    """

    sources: frozenset[Source] = frozenset(Source)
    count: int = 20
    category_cap: int | None = None
    tier: Tier = Tier.FULL

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("at least one source")
        if not 1 <= self.count <= COUNT_MAX or not (self.category_cap is None or 1 <= self.category_cap <= COUNT_MAX):
            raise ValueError(f"count and category_cap from 1 to {COUNT_MAX}, not {self}")


_CLOSE: Final = frozenset(Source) - {Source.TRENDING}
"""What goes with items at hand; what is merely happening now does not."""


@dataclass(frozen=True, slots=True)
class Placements:
    """The policy of each placement: an item page and a cart show what goes with what stands there, an e-mail is read
    later and so keeps to variety.
    """

    home: PlacementPolicy = PlacementPolicy()
    item: PlacementPolicy = PlacementPolicy(sources=_CLOSE, count=12)
    cart: PlacementPolicy = PlacementPolicy(sources=_CLOSE, count=6)
    email: PlacementPolicy = PlacementPolicy(count=10, category_cap=3)

    def of(self, placement: Placement) -> PlacementPolicy:
        """The policy of one placement."""
        match placement:
            case Placement.HOME:
                return self.home
            case Placement.ITEM:
                return self.item
            case Placement.CART:
                return self.cart
            case Placement.EMAIL:
                return self.email
