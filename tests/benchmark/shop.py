"""The traffic of a made-up shop: sessions of many visitors, interleaved, over items of which few are popular.

A function of its arguments and a seed. Five events in a hundred are duplicates of a recent one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Final, NamedTuple

import numpy as np

from schemas.events import InteractionContext, InteractionEvent, Kind, encode

ITEMS: Final = 20_000
CATEGORIES: Final = tuple(f"category-{number:02d}" for number in range(24))
DEVICES: Final = ("phone", "phone", "desktop", "tablet", "tv")
OFFSETS_MIN: Final = (0, 60, 120, -300, 345)
DUPLICATES: Final = 0.05
RECENT: Final = 200
"""A duplicate is one of this many events before it."""

SESSION_EVENTS: Final = 8
SPAN_MS: Final = 12 * 3_600_000
"""The backlog's events happened within this time, so that visitors come back for other sessions."""

KINDS: Final[dict[Kind, float]] = {
    "view": 0.62,
    "click": 0.15,
    "play": 0.06,
    "cart": 0.06,
    "purchase": 0.03,
    "rating": 0.03,
    "like": 0.03,
    "dislike": 0.01,
    "hide": 0.01,
}


class Sent(NamedTuple):
    """An event as a producer sends it. `item` is its rank by popularity."""

    visitor: int
    item: int
    raw: bytes


@dataclass(slots=True)
class _Visit:
    visitor: int
    taste: int


class Shop:
    """Makes the events of `visitors` visitors, in the order in which they are sent."""

    def __init__(self, visitors: int, *, seed: int = 1) -> None:
        self.visitors = visitors
        self._draw = Random(f"shop {seed}")
        self._numpy = np.random.default_rng(seed)
        self._popularity = np.cumsum(1.0 / np.arange(1, ITEMS + 1))
        self._kinds = self._draw.choices(list(KINDS), list(KINDS.values()), k=65_536)
        self._open = [self._arrive() for _ in range(min(max(visitors // 50, 50), 2_000))]
        self._sent: list[Sent] = []

    def warm_up(self, each: int, until_ms: int) -> Iterator[Sent]:
        """`each` events of every visitor, one round after the other, in the half day before the backlog's."""
        total, made = max(each * self.visitors, 1), 0
        for _ in range(each):
            for start in range(0, self.visitors, 65_536):
                ranks = self._ranks()
                for visitor in range(start, min(start + 65_536, self.visitors)):
                    at_ms = until_ms - 2 * SPAN_MS + SPAN_MS * made // total
                    made += 1
                    yield Sent(visitor, ranks[visitor - start], self._event(visitor, ranks[visitor - start], at_ms))

    def backlog(self, count: int, until_ms: int) -> Iterator[Sent]:
        """`count` events that happened in the half day until then."""
        return (
            self._next(rank, until_ms - SPAN_MS + SPAN_MS * number // max(count, 1))
            for number, rank in self._numbered(count)
        )

    def live(self, count: int, clock: Callable[[], int]) -> Iterator[Sent]:
        """`count` events that happen when they are made."""
        return (self._next(rank, clock()) for _, rank in self._numbered(count))

    def _numbered(self, count: int) -> Iterator[tuple[int, int]]:
        for start in range(0, count, 65_536):
            yield from enumerate(self._ranks()[: count - start], start)

    def _ranks(self) -> list[int]:
        """Ranks of items by Zipf's law: the probability of rank r goes with 1/r."""
        drawn = self._numpy.random(65_536) * self._popularity[-1]
        ranks: list[int] = np.searchsorted(self._popularity, drawn, side="right").tolist()
        return ranks

    def _next(self, rank: int, at_ms: int) -> Sent:
        draw = self._draw
        if self._sent and draw.random() < DUPLICATES:
            return draw.choice(self._sent)
        place = int(draw.random() * len(self._open))
        visit = self._open[place]
        if draw.random() < 1 / SESSION_EVENTS:
            visit = self._open[place] = self._arrive()
        item = rank if draw.random() < 0.5 else rank - rank % len(CATEGORIES) + visit.taste
        sent = Sent(visit.visitor, item, self._event(visit.visitor, item, at_ms - int(draw.random() * 2_000)))
        self._sent.append(sent)
        if len(self._sent) > 2 * RECENT:
            del self._sent[:RECENT]
        return sent

    def _arrive(self) -> _Visit:
        return _Visit(int(self._draw.random() * self.visitors), self._draw.randrange(len(CATEGORIES)))

    def _event(self, visitor: int, item: int, at_ms: int) -> bytes:
        draw = self._draw
        number = draw.getrandbits(80)
        kind = self._kinds[number & 0xFFFF]
        value = None
        if kind in ("purchase", "rating", "play"):
            value = {"purchase": 5.0 + item % 90, "rating": 1.0 + number % 5, "play": 1_000.0 * (number % 5_400)}[kind]
        is_from_slate = kind == "click" and number & 0x10000
        return encode(
            InteractionEvent(
                event_id=f"{number:020x}",
                visitor_id=visitor_id(visitor),
                item_id=item_id(item),
                kind=kind,
                occurred_at_ms=at_ms,
                value=value,
                slate_id=f"slate-{number >> 40:x}" if is_from_slate else None,
                position=number % 20 if is_from_slate else None,
                context=InteractionContext(
                    categories=categories_of(item),
                    price_micros=1_000_000 * (5 + item % 90) if item % 3 else None,
                    utc_offset_min=OFFSETS_MIN[visitor % len(OFFSETS_MIN)],
                    device=DEVICES[visitor % len(DEVICES)],
                ),
            )
        )


def visitor_id(visitor: int) -> str:
    """As long as the identifiers that cookies hold."""
    return f"visitor-{visitor:08x}"


def item_id(item: int) -> str:
    """By rank; ranks of one category are as far apart as there are categories."""
    return f"item-{item:05d}"


def categories_of(item: int) -> tuple[str, ...]:
    first = item % len(CATEGORIES)
    return tuple(CATEGORIES[(first + 7 * step) % len(CATEGORIES)] for step in range(1 + item % 3))
