"""The live traffic: the newest ratings of the data set, sent as if they happened now, each predicted first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final
from uuid import uuid4

from infra.demo.baselines import BatchOnly, Popularity
from infra.demo.client import Client
from infra.demo.measures import Measures
from infra.demo.movielens import MovieLens, Rating
from schemas.errors import DependencyError
from schemas.events import InteractionContext, InteractionEvent

AT_ONCE_MAX: Final = 16
PROBE_EVERY_S: Final = 0.25
PROBE_DEADLINE_S: Final = 10.0
FAILURES_MAX: Final = 50


class LiveTraffic:
    """Streams ratings and probes the freshness meanwhile. `rate` is events per second at most."""

    def __init__(self, client: Client, data: MovieLens, popularity: Popularity, batch_only: BatchOnly) -> None:
        self._client = client
        self._data = data
        self._popularity = popularity
        self._batch_only = batch_only
        self._run = uuid4().hex[:8]
        self.measures = Measures()

    async def run(self, ratings: Sequence[Rating], *, rate: float, tell: Callable[[str], None]) -> None:
        """Send all ratings, in order; visitors of one step are distinct, so that none is predicted from stale data."""
        stopped = asyncio.Event()
        watchers = [asyncio.create_task(self._probe(stopped)), asyncio.create_task(self._report(stopped, tell))]
        try:
            due = time.monotonic()
            for step in distinct_visitors(ratings):
                await self._step(step)
                due += len(step) / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
        finally:
            stopped.set()
            await asyncio.gather(*watchers)

    async def _step(self, step: Sequence[Rating]) -> None:
        try:
            slates = await asyncio.gather(*(self._client.recommend(self._visitor(rating)) for rating in step))
            self.measures.rejected += await self._client.send([self._event(rating) for rating in step])
        except DependencyError:
            self.measures.failures += 1
            if self.measures.failures > FAILURES_MAX:
                raise
            return
        self.measures.events += len(step)
        for rating, slate in zip(step, slates, strict=True):
            for name in slate.degraded:
                self.measures.degraded[name] = self.measures.degraded.get(name, 0) + 1
            self.measures.ours.observe([item.item_id for item in slate.items], rating.item)
            self.measures.popularity.observe(self._popularity.slate(rating.visitor), rating.item)
            self.measures.batch_only.observe(self._batch_only.slate(rating.visitor), rating.item)
            self._popularity.observe(rating)

    def _visitor(self, rating: Rating) -> str:
        return f"ml-{rating.visitor}"

    def _event(self, rating: Rating) -> InteractionEvent:
        return InteractionEvent(
            event_id=f"{self._run}-{rating.visitor}-{rating.item}",
            visitor_id=self._visitor(rating),
            item_id=rating.item,
            kind="rating",
            value=rating.value,
            occurred_at_ms=time.time_ns() // 1_000_000,
            session_id=f"{rating.visitor}-{rating.session}",
            context=InteractionContext(categories=self._data.items[rating.item].categories),
        )

    async def _probe(self, stopped: asyncio.Event) -> None:
        """A visitor of our own clicks now and then; the time until its slate has changed is the freshness.

        The first click after a start finds every engine cold. It is told by itself.
        """
        popular = self._popularity.slate("")
        number = 0
        while not stopped.is_set():
            visitor, item = f"probe-{self._run}-{number // len(popular)}", popular[number % len(popular)]
            try:
                took_ms = await self._probe_once(visitor, item, f"probe-{self._run}-{number}")
                if number:
                    self.measures.click_to_slate_ms.append(took_ms)
                else:
                    self.measures.first_click_ms = round(took_ms, 1)
            except DependencyError:
                self.measures.failures += 1
            number += 1
            await asyncio.sleep(PROBE_EVERY_S)

    async def _probe_once(self, visitor: str, item: str, event_id: str) -> float:
        """Milliseconds from sending a click to the first slate that knows it.

        Raises:
            DependencyError: a request failed, or no slate knew the click in time.
        """
        before = [shown.item_id for shown in (await self._client.recommend(visitor)).items]
        now_ms = time.time_ns() // 1_000_000
        click = InteractionEvent(
            event_id=event_id, visitor_id=visitor, item_id=item, kind="click", occurred_at_ms=now_ms
        )
        started = time.perf_counter()
        await self._client.send([click])
        if not await self._client.wait_for_click(visitor, item, before, PROBE_DEADLINE_S):
            problem = f"no slate knew a click within {PROBE_DEADLINE_S:.0f} s"
            raise DependencyError(
                "the stream", problem, "see `python -m infra status` and `python -m infra logs speed`"
            )
        return (time.perf_counter() - started) * 1000

    async def _report(self, stopped: asyncio.Event, tell: Callable[[str], None]) -> None:
        while not stopped.is_set():
            try:
                await asyncio.wait_for(stopped.wait(), timeout=2)
            except TimeoutError:
                tell(self.measures.line())


def distinct_visitors(ratings: Sequence[Rating]) -> Iterator[list[Rating]]:
    """Cut a log into runs of at most `AT_ONCE_MAX` ratings in which no visitor stands twice."""
    step: list[Rating] = []
    visitors: set[str] = set()
    for rating in ratings:
        if rating.visitor in visitors or len(step) == AT_ONCE_MAX:
            yield step
            step, visitors = [], set()
        step.append(rating)
        visitors.add(rating.visitor)
    if step:
        yield step
