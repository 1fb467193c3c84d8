"""Fifty artifacts, one after the other, under a steady load on a real server: not one request fails.

The server is a process as an operator starts it, with a real Redis for the sessions; Kafka and Cassandra are away, so
that answers are `degraded`, which is no failure. What takes time is the server's own rhythm: it looks twice a second.
"""

from __future__ import annotations

import asyncio
import json
import math
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
from typing import Any

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
HEAD = (
    b"POST /v1/recommendations HTTP/1.1\r\nhost: firth\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
)


@dataclass
class Load:
    """Requests at an even pace, whatever becomes of those before: each has its instant, and none is left out.

    A machine that is too slow sends them late and then many at once, which is not easier for the server.
    """

    port: int
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    statuses: Counter[int | str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    empty: int = 0
    newest: str = ""
    began_s: float = field(default_factory=time.monotonic)
    ended_s: float = math.inf

    async def ask(self, number: int, due_s: float) -> None:
        """One request; whatever happens is counted, and timed from when it was due."""
        try:
            status, slate = await self._exchange({"visitor_id": f"v{number % VISITORS}", "count": 3})
        except (OSError, EOFError) as error:
            self.statuses[type(error).__name__] += 1
            return
        self.latencies_ms.append((time.monotonic() - due_s) * 1_000)
        self.statuses[status] += 1
        self.newest = slate["model_version"]
        self.versions.append(self.newest)
        self.empty += not slate["items"]

    async def _exchange(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer, over a connection that is idle; by hand, as a client costs more than a slate."""
        body = json.dumps(asked).encode()
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(HEAD % len(body) + body)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            answer = await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
        except BaseException:
            writer.close()
            raise
        self.idle.append((reader, writer))
        return int(head.split()[1]), json.loads(answer)

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.ended_s - self.began_s

    async def go_on(self) -> None:
        """Send all that is due before the end, then wait for all answers."""
        asked = list[asyncio.Task[None]]()
        while (due_s := self.began_s + len(asked) / REQUESTS_A_SECOND) < self.ended_s:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            asked.append(asyncio.create_task(self.ask(len(asked), due_s)))
        await asyncio.gather(*asked)
        for _, writer in self.idle:
            writer.close()

    def told(self) -> str:
        """What was achieved, for a person."""
        late, answered = sorted(self.latencies_ms), sum(self.statuses.values())
        return (
            f"{answered} requests in {self.seconds:.1f} s, {answered / self.seconds:.0f}/s: {dict(self.statuses)} by "
            f"{len(set(self.versions))} versions; p50 {late[len(late) // 2]:.1f} ms, p99 "
            f"{late[len(late) * 99 // 100]:.1f} ms from due to answered"
        )

    async def until(self, version: str) -> None:
        """Wait for the first answer of a version."""

        async def is_there() -> bool:
            return self.newest == version

        await wait_until_async(is_there, PATIENCE_S, f"an answer of {version}")


@asynccontextmanager
async def load_on(port: int) -> AsyncIterator[Load]:
    """Requests all the while."""
    load = Load(port)
    going = asyncio.create_task(load.go_on())
    try:
        yield load
    finally:
        load.ended_s = time.monotonic()
        await going


@pytest.fixture
def server(settings: Settings, redis_server: RedisSettings) -> Iterator[int]:
    """`python -m serving` with a model; its port."""
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
            yield settings.serving.port
        finally:
            process.terminate()


async def test_fifty_swaps_under_load_and_no_request_fails(
    server: int, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
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
    with capsys.disabled():
        print(f"\n{SWAPS} swaps under {load.told()}")
    assert set(load.statuses) == {200}
    assert load.statuses[200] >= int(load.seconds * REQUESTS_A_SECOND)
    assert load.empty == 0
    assert len(set(load.versions)) == SWAPS + 1


async def test_broken_artifacts_are_never_served_and_the_next_sound_one_is(server: int, settings: Settings) -> None:
    folder = settings.artifacts_dir
    url = f"http://127.0.0.1:{server}"
    async with load_on(server) as load, httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
        await load.until("v000")
        for version, spoil in (("v001", cut_short), ("v002", make_for_another_catalogue), ("v003", lose_a_file)):
            spoil(shelve(folder, version))
            point_to(folder, version)  # past our own check, as a careless copy would
            await wait_until_async(partial(is_refused, http, version), PATIENCE_S, f"the refusal of {version}")
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
