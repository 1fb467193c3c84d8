"""The demo's view of the serving API: the Python client, as any consumer would use it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

import msgspec

from clients.python.firth_client import AsyncFirth, Event, FirthError, Slate
from infra.demo.measures import K
from schemas.errors import DependencyError
from schemas.events import InteractionEvent, ItemEvent

POLL_S: Final = 0.003
Answer = TypeVar("Answer")


class Client:
    """One server's API. Every attempt is bounded by `timeout_s`."""

    def __init__(self, url: str, key: str | None = None, timeout_s: float = 10.0) -> None:
        self.url = url
        self._firth = AsyncFirth(url, key, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._firth.close()

    async def recommend(self, visitor_id: str, count: int = K) -> Slate:
        """One slate, as the server answers it."""
        return await self._told(self._firth.recommend(visitor_id, count=count))

    async def send(self, events: Sequence[InteractionEvent]) -> int:
        """Post events; the number that were rejected."""
        plain = [msgspec.convert(msgspec.to_builtins(event), Event) for event in events]
        return (await self._told(self._firth.send(plain))).rejected

    async def put_items(self, items: Sequence[ItemEvent]) -> None:
        """Post the catalogue."""
        answer = await self._told(self._firth.put_items([msgspec.to_builtins(item) for item in items]))
        if answer.rejected:
            raise DependencyError(self.url, f"refused items: {answer}", "see the server's log")

    async def wait_for_click(self, visitor_id: str, item_id: str, before: Sequence[str], deadline_s: float) -> bool:
        """Poll until a slate both knows the click and differs from the one before; False at the deadline."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            slate = await self.recommend(visitor_id)
            knows = item_id in slate.session["items"]
            if knows and [item.item_id for item in slate.items] != list(before):
                return True
            await asyncio.sleep(POLL_S)
        return False

    async def _told(self, asked: Awaitable[Answer]) -> Answer:
        """The answer. Raises DependencyError."""
        try:
            return await asked
        except FirthError as error:
            raise DependencyError(self.url, str(error), "see `python -m infra logs serving`") from error
