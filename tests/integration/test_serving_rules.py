"""Rules of the shop on real Kafka: stored by one server, they hold on every other, and after a restart."""

from __future__ import annotations

import time

from pydantic import SecretStr

from infra.settings import RedisSettings, Settings
from tests.integration.serving_world import PATIENCE_S, RunningServer, running
from tests.published import publish
from tests.waiting import wait_until_async

KEY = "a key of some length"
EFFECTIVE_S = 2.0


async def shown(server: RunningServer) -> list[str]:
    return [item["item_id"] for item in (await server.recommend())["items"]]


async def test_a_rule_holds_on_every_server_within_two_seconds_and_after_a_restart(
    settings: Settings, redis_server: RedisSettings, topics: list[str]
) -> None:
    keyed = settings.serving.model_copy(update={"admin_key": SecretStr(KEY)})
    keyed_settings = settings.model_copy(update={"serving": keyed})
    publish(settings.artifacts_dir, "v1")
    async with running(keyed_settings) as first, running(keyed_settings) as second:
        await first.put_films()
        (hidden, *_) = await shown(second)
        first.http.headers["Authorization"] = f"Bearer {KEY}"
        stored = await first.http.put("/v1/rules/r", json={"action": "hide", "items": [hidden]})
        assert stored.status_code == 200, stored.text
        sent_at = time.monotonic()
        assert hidden not in await shown(first), "at once where it was stored"

        async def is_hidden() -> bool:
            return hidden not in await shown(second)

        await wait_until_async(is_hidden, PATIENCE_S, "the rule on the other server")
        assert time.monotonic() - sent_at < EFFECTIVE_S
    async with running(keyed_settings) as third:
        third.http.headers["Authorization"] = f"Bearer {KEY}"
        assert (await third.http.get("/v1/rules/r")).json() == stored.json()
        assert (await third.http.delete("/v1/rules/r")).status_code == 204
        assert hidden in await shown(third)
