"""The client for code that waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import httpx

from . import requests
from .errors import FirthError
from .requests import Request
from .retries import Retries
from .shapes import Click, Event, ItemList, Ranking, Slate, Verdicts

Answer = TypeVar("Answer")


class Firth:
    """One server, or a balancer before several. Every attempt is bounded by `timeout_s`; threads may share a client."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 5.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._retries = retries or Retries()
        self._sleep = sleep
        self._http = httpx.Client(
            base_url=url, timeout=timeout_s, transport=transport, headers=requests.headers(key), follow_redirects=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def recommend(self, visitor_id: str, *, clicks: Sequence[Click] = (), **asked: Any) -> Slate:
        """A slate; `count`, `placement`, `context_items`, `filter`, `cursor` and others are as docs/api.md says.

        Raises FirthError, as every method does.
        """
        return self._ask(requests.recommend(visitor_id, clicks=tuple(clicks), **asked))

    def rank(self, visitor_id: str, items: Sequence[str], *, clicks: Sequence[Click] = ()) -> Ranking:
        """Up to 500 items, such as the results of a search, in the visitor's order."""
        return self._ask(requests.rank(visitor_id, items, tuple(clicks)))

    def similar(self, item_id: str, *, count: int = 20) -> ItemList:
        """What goes with an item."""
        return self._ask(requests.similar(item_id, count))

    def trending(self, *, count: int = 20, window: str = "now", category: str | None = None) -> ItemList:
        """What is happening `now`, or in the last `day` or `week`."""
        return self._ask(requests.trending(count, window, category))

    def visitor(self, visitor_id: str) -> dict[str, Any]:
        """What is known of a visitor."""
        return self._ask(requests.visitor(visitor_id))

    def send(self, events: Sequence[Event]) -> Verdicts:
        """Send events, some hundred at a time. Look at the verdicts: one that is rejected raises nothing."""
        return requests.joined([self._ask(each) for each in requests.batches("events", events)])

    def put_items(self, items: Sequence[dict[str, Any]]) -> Verdicts:
        """Say what the catalogue has to say of items; asks for a key with the scope `admin`."""
        return requests.joined([self._ask(each) for each in requests.batches("items", items)])

    def _ask(self, request: Request[Answer]) -> Answer:
        attempt = 1
        while True:
            retry_after: str | None = None
            try:
                response = self._http.request(request.method, request.path, content=request.body)
                retry_after = response.headers.get("retry-after")
                return request.read(response.status_code, response.content)
            except httpx.HTTPError as error:
                failure = FirthError(f"{request.method} {request.path}: {error!r}")
                failure.__cause__ = error
            except FirthError as error:
                failure = error
            if not failure.may_pass or attempt >= self._retries.attempts_max:
                raise failure
            self._sleep(self._retries.pause_s(attempt, retry_after))
            attempt += 1
