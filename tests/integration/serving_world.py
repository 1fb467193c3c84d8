"""A server in this process on real servers, and rows as the stream would have written them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec
from kafka import KafkaConsumer
from redis.asyncio import Redis

from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_RECENT, VISITOR_SESSION
from infra.settings import KafkaSettings, Settings
from schemas.topics import Topic
from serving.app import Server
from tests.builders import interaction
from tests.unit.serving.fakes import speed_rows
from tests.waiting import wait_until_async

PATIENCE_S = 30.0
FILMS = ("alien", "aliens", "dune", "heat", "ronin")


@dataclass
class RunningServer:
    """A server and a client of it."""

    server: Server
    http: httpx.AsyncClient

    async def recommend(self, visitor: str = "ada", **fields: Any) -> dict[str, Any]:
        """A slate; anything but 200 fails."""
        response = await self.http.post("/v1/recommendations", json={"visitor_id": visitor, "count": 5, **fields})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def slate_where(self, holds: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The first slate of which this holds."""

        async def look() -> dict[str, Any] | None:
            slate = await self.recommend()
            return slate if holds(slate) else None

        found = await wait_until_async(look, PATIENCE_S, what)
        assert found is not None
        return found

    async def send(self, *events: dict[str, Any]) -> httpx.Response:
        """Post events."""
        return await self.http.post("/v1/events", json=list(events))

    async def put_films(self) -> None:
        """A small catalogue, and wait until the server follows it."""
        items = [{"item_id": film, "title": film.title(), "categories": ["film"], "price_micros": 5} for film in FILMS]
        assert (await self.http.post("/v1/items", json=items)).json()["accepted"] == len(items)

        async def is_known() -> bool:
            return len(self.server.catalogue) == len(FILMS)

        await wait_until_async(is_known, PATIENCE_S, "the catalogue")


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[RunningServer]:
    """A started server; stopped, and flushed, at the end."""
    server = Server(settings)
    app = server.application()
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://firth", timeout=PATIENCE_S) as http,
    ):

        async def is_ready() -> bool:
            return server.readiness().ready

        await wait_until_async(is_ready, PATIENCE_S, "the server to be ready")
        yield RunningServer(server, http)


def event(event_id: str, *, visitor: str = "ada", item: str = "alien", **fields: Any) -> dict[str, Any]:
    """An event that happens now."""
    plain: dict[str, Any] = msgspec.to_builtins(
        interaction(event_id, visitor=visitor, item=item, at_ms=time.time_ns() // 1_000_000, **fields)
    )
    return plain


async def write_session(settings: Settings, visitor: str, *items: str) -> int:
    """Leave a session that has just been in Redis, as the feature writer does; returns its newest instant."""
    at_ms = time.time_ns() // 1_000_000
    rows = speed_rows(*items, at_ms=at_ms)
    assert rows.session is not None
    assert rows.recent is not None
    key = EntityKeys(settings.feast.project, "visitor_id").key(visitor)
    redis = Redis(host=settings.redis.host, port=settings.redis.port)
    cells = [*VISITOR_SESSION.layout().encode(rows.session, at_ms), *VISITOR_RECENT.layout().encode(rows.recent, at_ms)]
    await redis.execute_command("HSET", key, *cells)
    await redis.aclose()
    return at_ms


def records_of(kafka: KafkaSettings, topic: Topic, count: int) -> list[Any]:
    """The first `count` records of a topic, waited for."""
    consumer = KafkaConsumer(
        topic.named(kafka.topic_prefix).name,
        bootstrap_servers=kafka.bootstrap,
        auto_offset_reset="earliest",
        group_id=None,
        consumer_timeout_ms=PATIENCE_S * 1000,
    )
    try:
        found: list[Any] = []
        for record in consumer:
            found.append(record)
            if len(found) == count:
                break
        return found
    finally:
        consumer.close()
