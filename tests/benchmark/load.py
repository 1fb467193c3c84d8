"""All that one number of visitors sends in a run, made once and sent to each run's own topic."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from domain.facts import Stamp
from domain.policies import Policies
from domain.states import VisitorState
from schemas.events import decode_interaction
from tests.benchmark.batches import Request, requests
from tests.benchmark.shop import Sent, Shop, item_id, visitor_id

TOGETHER: Final = 2_000
WARM_UP_MIN: Final = 50_000
TICKS_PER_S: Final = 100
AFTERWARDS: Final = 5_000
WATCHED_VISITORS: Final = 150
WATCHED_ITEMS: Final = (0, 7, 24, 100, 500, 2_000, 2_007, 9_000, 15_000, 19_000)


@dataclass(frozen=True)
class Load:
    """The warm-up, the backlog that is measured, what comes live afterwards, and what waits for a restarted job."""

    visitors: int
    rate: float
    warm_up: list[Request]
    backlog: list[Request]
    live: list[Request]
    afterwards: list[Request]

    @property
    def watched_visitors(self) -> list[str]:
        """Those whose rows are compared with the log."""
        return [visitor_id(number) for number in range(0, self.visitors, _stride(self.visitors))]

    @property
    def watched_items(self) -> list[str]:
        """The same of items, popular ones and others."""
        return [item_id(rank) for rank in WATCHED_ITEMS]


def make_load(visitors: int, events: int, rate: float, seconds: float, warm_up_min: int = WARM_UP_MIN) -> Load:
    """`events` of backlog behind a warm-up in which every visitor acts, and `rate` a second for `seconds` live."""
    shop, stride, items = Shop(visitors), _stride(visitors), frozenset(WATCHED_ITEMS)

    def is_watched(sent: Sent) -> bool:
        return sent.visitor % stride == 0 or sent.item in items

    def packed(made: Iterable[Sent], together: int = TOGETHER) -> list[Request]:
        return list(requests(made, together, is_watched))

    now_ms, each = int(time.time() * 1_000), max(round(warm_up_min / visitors), 1)
    return Load(
        visitors,
        rate,
        packed(shop.warm_up(each, now_ms)),
        packed(shop.backlog(events, now_ms)),
        packed(shop.live(int(rate * seconds), lambda: now_ms), max(int(rate / TICKS_PER_S), 1)),
        packed(shop.live(AFTERWARDS, lambda: now_ms)),
    )


def count(*parts: Iterable[Request]) -> int:
    """How many events there are."""
    return sum(request.count for request in chain(*parts))


def state_bytes_at(events: int, policies: Policies) -> int:
    """The mean size of the states of visitors of whom so many events were taken in, as Flink keeps them."""
    now_ms, shop, visitors = int(time.time() * 1_000), Shop(50), 50
    taken, states = [0] * visitors, [VisitorState.load(None, policies) for _ in range(visitors)]
    for offset, sent in enumerate(shop.backlog(4 * events * visitors, now_ms)):
        if taken[sent.visitor] < events:
            states[sent.visitor].observe(decode_interaction(sent.raw), Stamp(now_ms, 0, offset))
            taken[sent.visitor] += 1
    return sum(len(state.dump()) for state in states) // visitors


def _stride(visitors: int) -> int:
    return max(visitors // WATCHED_VISITORS, 1)
