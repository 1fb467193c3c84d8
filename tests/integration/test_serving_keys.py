"""Keys on running servers, which all follow the one file: how soon a new key is good, and a revoked one is none."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from infra.access_settings import AccessSettings
from infra.settings import Settings
from serving.adapters.keys_file import Key, Scope, change_keys, new_key
from tests.integration.serving_world import PATIENCE_S, RunningServer, running
from tests.servers import instance_in
from tests.waiting import wait_until_async

EFFECTIVE_S = 2.0

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def keyed(tmp_path: Path) -> Settings:
    """Servers that ask for keys; nothing else runs."""
    alone = instance_in(tmp_path)
    return alone.model_copy(
        update={"serving": alone.serving.model_copy(update={"access": AccessSettings(require_keys=True)})}
    )


async def until(servers: tuple[RunningServer, ...], text: str, status: int) -> float:
    """How many seconds it took until all of them answered with this status."""
    started, headers = time.monotonic(), {"Authorization": f"Bearer {text}"}

    async def is_so() -> bool:
        answers = [await each.http.get("/v1/trending", headers=headers) for each in servers]
        return all(answer.status_code == status for answer in answers)

    await wait_until_async(is_so, PATIENCE_S, f"{status} from every server")
    return time.monotonic() - started


async def test_a_new_key_is_good_and_a_revoked_one_is_none_on_every_server_within_two_seconds(keyed: Settings) -> None:
    def add(key: Key) -> None:
        change_keys(keyed.keys_path, lambda keys: (*keys, key))

    def revoke(key: Key) -> None:
        change_keys(keyed.keys_path, lambda keys: tuple(each for each in keys if each != key))

    took_s: list[float] = []
    async with running(keyed) as first, running(keyed) as second:
        for _ in range(2):  # the quicker one counts: a busy machine is no slow revocation
            key, text = new_key("shop", [Scope.CONSUME], 0)
            await until((first, second), text, 401)
            await asyncio.to_thread(add, key)
            await until((first, second), text, 200)
            await asyncio.to_thread(revoke, key)
            took_s.append(await until((first, second), text, 401))
    assert min(took_s) < EFFECTIVE_S
