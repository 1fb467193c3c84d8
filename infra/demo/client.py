"""The demo's view of the serving API: plain HTTP, as any consumer would use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import httpx
import msgspec

from infra.demo.measures import K
from schemas.errors import DependencyError
from schemas.events import InteractionEvent, ItemEvent

ITEMS_PER_POST: Final = 500
POLL_S: Final = 0.003


class Client:
    """One server's API. Every call is bounded by `timeout_s`."""

    def __init__(self, url: str, timeout_s: float = 10.0) -> None:
        self.url = url
        self._http = httpx.AsyncClient(base_url=url, timeout=timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def recommend(self, visitor_id: str, count: int = K) -> dict[str, Any]:
        """One slate, as the server answers it."""
        body = {"visitor_id": visitor_id, "count": count}
        return await self._json("POST", "/v1/recommendations", body)

    async def send(self, events: Sequence[InteractionEvent]) -> int:
        """Post events; the number that were rejected."""
        answer = await self._json("POST", "/v1/events", {"events": [msgspec.to_builtins(event) for event in events]})
        return int(answer["rejected"])

    async def put_items(self, items: Sequence[ItemEvent]) -> None:
        """Post the catalogue."""
        for start in range(0, len(items), ITEMS_PER_POST):
            batch = [msgspec.to_builtins(item) for item in items[start : start + ITEMS_PER_POST]]
            answer = await self._json("POST", "/v1/items", {"items": batch})
            if answer["rejected"]:
                raise DependencyError(self.url, f"refused items: {answer}", "see the server's log")

    async def wait_for_click(self, visitor_id: str, item_id: str, before: Sequence[str], deadline_s: float) -> bool:
        """Poll until a slate both knows the click and differs from the one before; False at the deadline."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            slate = await self.recommend(visitor_id)
            knows = item_id in slate["session"]["items"]
            if knows and [item["item_id"] for item in slate["items"]] != list(before):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _json(self, method: str, path: str, body: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, json=body)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise DependencyError(f"{self.url}{path}", repr(error), "see `python -m infra logs serving`") from error
        answer: dict[str, Any] = response.json()
        return answer
