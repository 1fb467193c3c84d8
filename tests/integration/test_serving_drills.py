"""Drills: what the server answers while something is away, and that it recovers without a restart."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from infra.processes import kafka as kafka_process
from infra.processes import redis as redis_process
from infra.processes.topics import ensure_topics
from infra.settings import PROJECT_ROOT, KafkaSettings, RedisSettings, Settings
from schemas.topics import INTERACTIONS
from tests.integration.serving_world import PATIENCE_S, RunningServer, event, records_of, running, write_session
from tests.published import publish
from tests.servers import instance_in
from tests.waiting import wait_until_async

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture(autouse=True)
def _unlogged_kafka(caplog: pytest.LogCaptureFixture) -> None:
    """Captured log records would keep those sockets alive beyond the test."""
    caplog.set_level(logging.CRITICAL, logger="kafka")


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """Settings of an instance of which nothing runs yet."""
    return instance_in(tmp_path)


@pytest.fixture
async def lonely_server(alone: Settings) -> AsyncIterator[RunningServer]:
    """A server with a model, and without Redis, Kafka and Cassandra."""
    publish(alone.artifacts_dir, "v1")
    brisk = alone.model_copy(update={"serving": alone.serving.model_copy(update={"publish_deadline_ms": 2_000})})
    async with running(brisk) as server:
        yield server
    gc.collect()  # here, where such sockets are expected


async def test_with_every_store_away_the_server_starts_and_answers_from_the_lowest_rung(
    lonely_server: RunningServer,
) -> None:
    slate = await lonely_server.recommend()
    assert set(slate["degraded"]) == {"no_speed_features", "no_history", "stale_model", "stale_speed"}
    assert [item["source"] for item in slate["items"]] == ["popular"] * 5
    for path in ("/v1/trending", "/v1/similar/alien", "/v1/visitors/ada", "/readyz", "/metrics"):
        assert (await lonely_server.http.get(path)).status_code == 200, path


async def test_redis_may_come_go_and_come_back(lonely_server: RunningServer, alone: Settings) -> None:
    redis = redis_process.start(alone)
    try:
        await asyncio.to_thread(redis.wait_ready)
        await write_session(alone, "ada", "alien")
        await lonely_server.slate_where(lambda slate: slate["session"]["items"] == ["alien"], "the session")
    finally:
        await asyncio.to_thread(redis.stop)
    slate = await lonely_server.recommend()
    assert "no_speed_features" in slate["degraded"]
    assert slate["session"]["items"] == []
    again = redis_process.start(alone)
    try:
        await lonely_server.slate_where(lambda slate: slate["session"]["items"] == ["alien"], "the session again")
    finally:
        await asyncio.to_thread(again.stop)


async def test_a_redis_that_hangs_costs_each_visitor_at_most_the_deadline(
    lonely_server: RunningServer, alone: Settings
) -> None:
    redis = redis_process.start(alone)
    try:
        await asyncio.to_thread(redis.wait_ready)
        await write_session(alone, "ada", "alien")
        await lonely_server.slate_where(lambda slate: slate["session"]["items"] == ["alien"], "the session")
        pid = await _pid_of(alone.redis)
        os.kill(pid, signal.SIGSTOP)
        slates = [await lonely_server.recommend() for _ in range(10)]
        os.kill(pid, signal.SIGCONT)
        assert all("no_speed_features" in slate["degraded"] for slate in slates)
        assert sorted(slate["took_ms"] for slate in slates)[5] < 50, "the breaker spares later visitors the wait"
        await lonely_server.slate_where(lambda slate: slate["session"]["items"] == ["alien"], "the session again")
    finally:
        await asyncio.to_thread(redis.stop)


async def test_events_are_503_while_kafka_is_away_and_taken_when_it_comes(
    lonely_server: RunningServer, alone: Settings
) -> None:
    response = await lonely_server.send(event("e1"), {"event_id": "bad"})
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert [each["verdict"] for each in response.json()["verdicts"]] == ["unconfirmed", "rejected"]
    assert (await lonely_server.recommend())["items"], "reading goes on"
    kafka = kafka_process.start(alone)
    try:
        await asyncio.to_thread(kafka.wait_ready)
        await asyncio.to_thread(ensure_topics, alone.kafka)

        async def is_taken() -> bool:
            return (await lonely_server.send(event("e1"))).status_code == 200

        await lonely_server.slate_where(lambda slate: "stale_speed" not in slate["degraded"], "the stream")
        await wait_until_async(is_taken, PATIENCE_S, "an acknowledgement")
        await lonely_server.put_films()
        await asyncio.to_thread(kafka.stop)
        await lonely_server.slate_where(lambda slate: "stale_speed" in slate["degraded"], "the loss to be named")
        assert (await lonely_server.send(event("e2"))).status_code == 503
        kafka = kafka_process.start(alone)
        await asyncio.to_thread(kafka.wait_ready)

        async def is_taken_again() -> bool:
            return (await lonely_server.send(event("e3"))).status_code == 200

        await wait_until_async(is_taken_again, PATIENCE_S, "an acknowledgement after the restart")
    finally:
        await asyncio.to_thread(kafka.stop)


@pytest.fixture
def process(settings: Settings, kafka: KafkaSettings, redis_server: RedisSettings) -> Iterator[subprocess.Popen[str]]:
    """`python -m serving` as an operator starts it."""
    ensure_topics(settings.kafka)
    publish(settings.artifacts_dir, "v1")
    variables = {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        "FIRTH_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "FIRTH_REDIS__PORT": str(settings.redis.port),
        "FIRTH_CASSANDRA__PORT": str(settings.cassandra.port),
        "FIRTH_SERVING__PORT": str(settings.serving.port),
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "serving"],
        cwd=PROJECT_ROOT,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with started:
        try:
            yield started
        finally:
            if started.poll() is None:
                started.kill()


async def test_the_process_says_once_where_it_is_and_flushes_on_sigterm(
    process: subprocess.Popen[str], settings: Settings
) -> None:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    url = f"http://127.0.0.1:{settings.serving.port}"
    assert line == f"serving: ready at {url}\n"
    async with httpx.AsyncClient(base_url=url, timeout=PATIENCE_S) as http:
        posts = [
            asyncio.create_task(http.post("/v1/events", json=[event(f"e{batch}-{number}") for number in range(50)]))
            for batch in range(8)
        ]
        await asyncio.wait(posts, return_when=asyncio.FIRST_COMPLETED)
        process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*posts, return_exceptions=True)
    accepted = sum(answer.json()["accepted"] for answer in answers if isinstance(answer, httpx.Response))
    assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
    assert accepted >= 50
    records = await asyncio.to_thread(records_of, settings.kafka, INTERACTIONS, accepted)
    assert len(records) == accepted


async def _pid_of(address: RedisSettings) -> int:
    """The pid of the server itself, which has a tether above it."""
    redis = Redis(host=address.host, port=address.port)
    pid: int = (await redis.info("server"))["process_id"]
    await redis.aclose()
    return pid
