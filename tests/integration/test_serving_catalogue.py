"""The catalogue on real Kafka: a feed is reconciled, and what changes is effective on every server soon."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from infra.settings import RedisSettings, Settings
from tests.integration.serving_world import FILMS, PATIENCE_S, RunningServer, running, write_session
from tests.published import publish
from tests.waiting import wait_until_async

EFFECTIVE_S = 2.0


async def shown(server: RunningServer) -> set[str]:
    return {item["item_id"] for item in (await server.recommend())["items"]}


async def until_shown(server: RunningServer, item: str, *, is_shown: bool) -> None:
    async def holds() -> bool:
        return (item in await shown(server)) is is_shown

    await wait_until_async(holds, PATIENCE_S, f"{item} on the other server")


def feed(*items: str, **fields: Any) -> bytes:
    lines = [{"item_id": item, "title": item.title(), "categories": ["film"], "price_micros": 5} for item in items]
    return b"\n".join(msgspec.json.encode(line | fields) for line in lines)


async def told_after(change: Callable[[], Awaitable[Any]], effect: Callable[[], Awaitable[None]]) -> float:
    """Seconds from the answer to a change until its effect."""
    response = await change()
    assert response.status_code in (200, 204), response.text
    changed_at = time.monotonic()
    await effect()
    return time.monotonic() - changed_at


async def test_feeds_and_changes_of_items_are_effective_on_every_server_within_two_seconds(
    settings: Settings, redis_server: RedisSettings, topics: list[str]
) -> None:
    publish(settings.artifacts_dir, "v1")
    async with running(settings) as first, running(settings) as second:
        report = (await first.http.put("/v1/catalogue", content=feed(*FILMS))).json()
        assert (report["added"], report["removed"], report["refused"]) == (len(FILMS), 0, 0)
        again = (await second.http.put("/v1/catalogue", content=feed(*FILMS))).json()
        assert again["unchanged"] == len(FILMS), "the other server has read on to the end before it compared"
        await write_session(settings, "ada", "alien")
        await until_shown(second, "dune", is_shown=True)
        took_s: list[float] = []
        for hides in (True, False, True):  # the quickest counts: a busy machine is no slow catalogue
            took_s.append(
                await told_after(
                    partial(first.http.patch, "/v1/items/dune", json={"hidden": hides}),
                    partial(until_shown, second, "dune", is_shown=not hides),
                )
            )
        assert min(took_s) < EFFECTIVE_S
        await told_after(
            partial(second.http.delete, "/v1/items/heat"), partial(until_shown, first, "heat", is_shown=False)
        )
        report = (await first.http.put("/v1/catalogue", content=feed("alien", "aliens", "dune", "ronin"))).json()
        assert (report["changed"], report["unchanged"], report["removed"]) == (1, 3, 0), "dune is hidden no more"
        found = (await second.http.get("/v1/search", params={"q": "ali", "visitor_id": "ada"})).json()
        assert {item["item_id"] for item in found["items"]} == {"alien", "aliens"}
        page = (await first.http.post("/v1/page", json={"visitor_id": "ada"})).json()
        items = [item["item_id"] for row in page["rows"] for item in row["items"]]
        assert items
        assert len(items) == len(set(items))
