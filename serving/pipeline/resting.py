"""Resting: an item that a visitor was shown again and again, and never took, makes room for others for a while."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from domain.policies import DAY_MS, MINUTE_MS
from domain.slates import Query, Slate

NONE: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, slots=True)
class RestPolicy:
    """An item rests that stands in `shown_max` of the `looked_at` slates last counted; of slates that are less than
    `apart_ms` from the one counted before none counts (whoever reloads a page has looked once), nor of `forgotten_ms`
    ago.
    """

    shown_max: int = 5
    looked_at: int = 10
    apart_ms: int = MINUTE_MS
    forgotten_ms: int = DAY_MS


_Looks = deque[tuple[int, tuple[str, ...]]]
"""The counted slates of one visitor, oldest first: (shown_at_ms, items)."""


class Resting:
    """Remembers what the visitors of this process were shown lately. What was taken counts as seen and needs no rest.

    It is memory of the process, bounded: a restart, or another worker, begins anew, and the item is shown some more.
    """

    def __init__(self, policy: RestPolicy = RestPolicy(), visitors_max: int = 20_000) -> None:
        self._policy = policy
        self._visitors_max = visitors_max
        self._looks: OrderedDict[str, _Looks] = OrderedDict()

    def note(self, slate: Slate) -> None:
        """A slate was shown."""
        query = slate.query
        if not query.personalise:
            return
        looks = self._looks.get(query.visitor_id)
        if looks is None:
            looks = self._looks[query.visitor_id] = deque(maxlen=self._policy.looked_at)
            if len(self._looks) > self._visitors_max:
                self._looks.popitem(last=False)
        elif query.asked_at_ms == looks[-1][0]:  # another row of the same page
            looks[-1] = (query.asked_at_ms, (*looks[-1][1], *_items(slate)))
            return
        elif query.asked_at_ms - looks[-1][0] < self._policy.apart_ms:
            return
        self._looks.move_to_end(query.visitor_id)
        looks.append((query.asked_at_ms, _items(slate)))

    def rested_for(self, query: Query) -> Collection[str]:
        """The items that rest for who asks."""
        looks = self._looks.get(query.visitor_id) if query.personalise else None
        if looks is None or len(looks) < self._policy.shown_max:
            return NONE
        oldest_ms = query.asked_at_ms - self._policy.forgotten_ms
        times = Counter(item for at_ms, items in looks if at_ms >= oldest_ms for item in items)
        return {item for item, count in times.items() if count >= self._policy.shown_max}


def _items(slate: Slate) -> tuple[str, ...]:
    return tuple(shown.candidate.item_id for shown in slate.shown)
