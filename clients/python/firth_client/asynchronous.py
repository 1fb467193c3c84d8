"""The client for code that awaits: the same methods as `Firth`, which says more of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeVar

import httpx

from . import requests
from .errors import FirthError
from .requests import Request
from .retries import Retries
from .shapes import Click, Event, ItemList, Ranking, Slate, Verdicts

Answer = TypeVar("Answer")


class AsyncFirth:
    """One server, or a balancer before several. Every attempt is bounded by `timeout_s`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 5.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._retries = retries or Retries()
        self._sleep = sleep
        self._http = httpx.AsyncClient(
            base_url=url, timeout=timeout_s, transport=transport, headers=requests.headers(key), follow_redirects=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def recommend(self, visitor_id: str, *, clicks: Sequence[Click] = (), **asked: Any) -> Slate:
        """A slate. Raises FirthError, as every method does."""
        return await self._ask(requests.recommend(visitor_id, clicks=tuple(clicks), **asked))

    async def rank(self, visitor_id: str, items: Sequence[str], *, clicks: Sequence[Click] = ()) -> Ranking:
        """Given items in the visitor's order."""
        return await self._ask(requests.rank(visitor_id, items, tuple(clicks)))

    async def similar(self, item_id: str, *, count: int = 20) -> ItemList:
        """What goes with an item."""
        return await self._ask(requests.similar(item_id, count))

    async def trending(self, *, count: int = 20, window: str = "now", category: str | None = None) -> ItemList:
        """What is happening."""
        return await self._ask(requests.trending(count, window, category))

    async def visitor(self, visitor_id: str) -> dict[str, Any]:
        """What is known of a visitor."""
        return await self._ask(requests.visitor(visitor_id))

    async def send(self, events: Sequence[Event]) -> Verdicts:
        """Send events, some hundred at a time."""
        return requests.joined([await self._ask(each) for each in requests.batches("events", events)])

    async def put_items(self, items: Sequence[dict[str, Any]]) -> Verdicts:
        """Say what the catalogue has to say of items."""
        return requests.joined([await self._ask(each) for each in requests.batches("items", items)])

    async def _ask(self, request: Request[Answer]) -> Answer:
        attempt = 1
        while True:
            retry_after: str | None = None
            try:
                response = await self._http.request(request.method, request.path, content=request.body)
                retry_after = response.headers.get("retry-after")
                return request.read(response.status_code, response.content)
            except httpx.HTTPError as error:
                failure = FirthError(f"{request.method} {request.path}: {error!r}")
                failure.__cause__ = error
            except FirthError as error:
                failure = error
            if not failure.may_pass or attempt >= self._retries.attempts_max:
                raise failure
            await self._sleep(self._retries.pause_s(attempt, retry_after))
            attempt += 1
