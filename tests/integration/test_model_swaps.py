"""Fifty artifacts, one after the other, under a steady load on a real server: not one request fails.

The server is a process as an operator starts it, with a real Redis for the sessions; Kafka and Cassandra are away, so
that answers are `degraded`, which is no failure. What takes time is the server's own rhythm: it looks twice a second.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import pytest

from batch.registry.switching import switch_to
from domain.artifacts import point_to
from infra.settings import PROJECT_ROOT, RedisSettings, Settings
from tests.integration.serving_world import FILMS, PATIENCE_S, write_session
from tests.published import publish, shelve
from tests.waiting import wait_until_async

SWAPS = 50
REQUESTS_A_SECOND = 200
VISITORS = 20
CLIENTS = 10


@dataclass
class Load:
    """What a steady stream of requests was answered with."""

    http: httpx.AsyncClient
    statuses: Counter[int | str] = field(default_factory=Counter)
    versions: list[str] = field(default_factory=list)
    empty: int = 0
    newest: str = ""
    is_over: bool = False

    async def ask(self, number: int) -> None:
        """One request; whatever happens is counted."""
        try:
            asked = {"visitor_id": f"v{number % VISITORS}", "count": 3}
            response = await self.http.post("/v1/recommendations", json=asked)
        except httpx.HTTPError as error:
            self.statuses[type(error).__name__] += 1
            return
        self.statuses[response.status_code] += 1
        slate = response.json()
        self.newest = slate["model_version"]
        self.versions.append(self.newest)
        self.empty += not slate["items"]

    async def go_on(self, first: int) -> None:
        """Ask at an even pace, one request at a time; a machine that cannot keep it up is asked less often."""
        number, due_s = first, time.monotonic() + first / REQUESTS_A_SECOND
        while not self.is_over:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            await self.ask(number)
            number, due_s = number + CLIENTS, max(due_s + CLIENTS / REQUESTS_A_SECOND, time.monotonic())

    async def until(self, version: str) -> None:
        """Wait for the first answer of a version."""

        async def is_there() -> bool:
            return self.newest == version

        await wait_until_async(is_there, PATIENCE_S, f"an answer of {version}")


@asynccontextmanager
async def load_on(url: str) -> AsyncIterator[Load]:
    """Requests all the while."""
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
        load = Load(http)
        going = [asyncio.create_task(load.go_on(first)) for first in range(CLIENTS)]
        try:
            yield load
        finally:
            load.is_over = True
            await asyncio.gather(*going)


@pytest.fixture
def server(settings: Settings, redis_server: RedisSettings) -> Iterator[str]:
    """`python -m serving` with a model; its URL."""
    publish(settings.artifacts_dir, "v000")
    variables = {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.controller_port),  # nobody is there
        "FIRTH_REDIS__PORT": str(redis_server.port),
        "FIRTH_CASSANDRA__PORT": str(settings.cassandra.storage_port),
        "FIRTH_SERVING__PORT": str(settings.serving.port),
        "FIRTH_FEAST__PROJECT": settings.feast.project,
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "serving"],
        cwd=PROJECT_ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with started as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("serving: ready")
            yield f"http://127.0.0.1:{settings.serving.port}"
        finally:
            process.terminate()


async def test_fifty_swaps_under_load_and_no_request_fails(server: str, settings: Settings) -> None:
    for visitor in range(VISITORS):
        await write_session(settings, f"v{visitor}", *FILMS[: 1 + visitor % 3])
    folder = settings.artifacts_dir
    for number in range(1, SWAPS + 1):
        shelve(folder, f"v{number:03d}")
    async with load_on(server) as load:
        await load.until("v000")
        for number in range(1, SWAPS + 1):
            await asyncio.to_thread(switch_to, folder, f"v{number:03d}")
            await load.until(f"v{number:03d}")
    assert set(load.statuses) == {200}
    assert load.empty == 0
    assert len(set(load.versions)) == SWAPS + 1
    assert load.statuses[200] > SWAPS * 10


async def test_broken_artifacts_are_never_served_and_the_next_sound_one_is(server: str, settings: Settings) -> None:
    folder = settings.artifacts_dir
    async with load_on(server) as load:
        await load.until("v000")
        for version, spoil in (("v001", cut_short), ("v002", make_for_another_catalogue), ("v003", lose_a_file)):
            spoil(shelve(folder, version))
            point_to(folder, version)  # past our own check, as a careless copy would
            await wait_until_async(partial(is_refused, load.http, version), PATIENCE_S, f"the refusal of {version}")
        shelve(folder, "v004")
        await asyncio.to_thread(switch_to, folder, "v004")
        await load.until("v004")
    assert set(load.statuses) == {200}
    assert set(load.versions) == {"v000", "v004"}


async def is_refused(http: httpx.AsyncClient, version: str) -> bool:
    """Whether the server tells that it has met this version and does not take it."""
    checks: dict[str, str] = (await http.get("/readyz")).json()["checks"]
    return version in checks.get("refused_model", "")


def cut_short(folder: Path) -> None:
    path = folder / "session_index.npz"
    path.write_bytes(path.read_bytes()[:-1])


def make_for_another_catalogue(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"catalogue_fingerprint": "0"}))


def lose_a_file(folder: Path) -> None:
    (folder / "popularity.npz").unlink()
