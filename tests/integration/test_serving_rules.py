"""Rules of the shop on real Kafka: stored by one server, they hold on every other, and after a restart."""

from __future__ import annotations

import time

from infra.settings import RedisSettings, Settings
from tests.integration.serving_world import PATIENCE_S, RunningServer, running
from tests.published import publish
from tests.waiting import wait_until_async

EFFECTIVE_S = 2.0


async def shown(server: RunningServer) -> list[str]:
    return [item["item_id"] for item in (await server.recommend())["items"]]


async def until(server: RunningServer, item: str, *, is_hidden: bool) -> None:
    async def holds() -> bool:
        return (item not in await shown(server)) is is_hidden

    await wait_until_async(holds, PATIENCE_S, "the rule on the other server")


async def test_a_rule_holds_on_every_server_within_two_seconds_and_after_a_restart(
    settings: Settings, redis_server: RedisSettings, topics: list[str]
) -> None:
    publish(settings.artifacts_dir, "v1")
    async with running(settings) as first, running(settings) as second:
        await first.put_films()
        (hidden, *_) = await shown(second)
        took_s: list[float] = []
        for hides in (True, False, True):  # the quickest counts: a busy machine is no slow rule
            rule = {"action": "hide", "items": [hidden], "enabled": hides}
            assert (await first.http.put("/v1/rules/r", json=rule)).status_code == 200
            sent_at = time.monotonic()
            assert (hidden in await shown(first)) is not hides, "at once where it was stored"
            await until(second, hidden, is_hidden=hides)
            took_s.append(time.monotonic() - sent_at)
        assert min(took_s) < EFFECTIVE_S
        stored = (await first.http.get("/v1/rules/r")).json()
    async with running(settings) as third:
        assert (await third.http.get("/v1/rules/r")).json() == stored
        assert (await third.http.delete("/v1/rules/r")).status_code == 204
        assert hidden in await shown(third)
