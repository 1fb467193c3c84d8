"""Drills, rung by rung: what is slow, dead, empty or old is named and counted, costs nobody a hang, and is found again.

The stores stand behind doors that a test shuts, so that no server has to be started twice. Kafka and Redis that are
stopped for good are in test_serving_drills.py.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from domain.artifacts import point_to
from domain.policies import DAY_MS, Policies
from domain.states import ItemState
from infra import metrics
from infra.settings import CassandraSettings, KafkaSettings, RedisSettings, Settings
from schemas.events import decode_interaction
from schemas.topics import INTERACTIONS, ITEM_STATES
from serving.adapters import stream_pulse
from tests.builders import fact, stamp
from tests.history_table import HistoryTable
from tests.integration.serving_world import (
    PATIENCE_S,
    RunningServer,
    event,
    records_of,
    running,
    write_session,
)
from tests.published import publish, shelve
from tests.servers import instance_in
from tests.tcp_door import Door, door_to
from tests.waiting import wait_until_async

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

HANG_S = 1.0


def counted(rung: str) -> float:
    """Slates of this server so far that were answered from the rung."""
    return float(metrics.SERVING_DEGRADED.labels(rung)._value.get())


async def drill(server: RunningServer, rung: str, count: int = 20) -> None:
    """Slates of different visitors from this rung: each names it, is counted, and nobody waits for what does not come.

    Half of the second that a slow store takes leaves room for a busy machine; benchmarks hold the promise of 50 ms.
    """
    before, slates = counted(rung), [await server.recommend(f"v{number}") for number in range(count)]
    assert all(rung in slate["degraded"] for slate in slates)
    assert counted(rung) - before == count
    assert sorted(slate["took_ms"] for slate in slates)[count // 2] < HANG_S * 1000 / 2


async def recovered(server: RunningServer, rung: str) -> dict[str, Any]:
    """The first slate that does without the rung, by the same server, within 30 s."""
    return await server.slate_where(lambda slate: rung not in slate["degraded"], f"the end of {rung}")


@asynccontextmanager
async def behind_a_door(settings: Settings, store: str) -> AsyncIterator[tuple[Door, Settings]]:
    """A door to one of the stores, and settings that lead through it."""
    address = getattr(settings, store)
    async with door_to(address.port) as door:
        yield door, settings.model_copy(update={store: address.model_copy(update={"port": door.port})})


@pytest.fixture
def alone(tmp_path: Path, instance: Settings, redis_server: RedisSettings) -> Settings:
    """A real Redis, and neither Kafka nor Cassandra."""
    own = instance_in(tmp_path)
    return own.model_copy(update={"redis": instance.redis, "feast": own.feast.model_copy(update={"project": "ladder"})})


async def test_a_redis_that_answers_after_a_second_is_not_waited_for(alone: Settings) -> None:
    await write_session(alone, "ada", "alien")
    async with behind_a_door(alone, "redis") as (door, settings), running(settings) as server:
        await server.slate_where(lambda slate: slate["session"]["items"] == ["alien"], "the session")
        door.delay_s = HANG_S
        await drill(server, "no_speed_features")
        door.delay_s = 0
        assert (await recovered(server, "no_speed_features"))["session"]["items"] == ["alien"]


async def test_a_redis_that_is_gone_is_found_again(alone: Settings) -> None:
    async with behind_a_door(alone, "redis") as (door, settings), running(settings) as server:
        await recovered(server, "no_speed_features")
        await door.shut()
        await drill(server, "no_speed_features")
        await door.open()
        await recovered(server, "no_speed_features")


async def test_an_empty_store_of_artifacts_is_the_rung_of_what_is_trending_until_there_is_one(alone: Settings) -> None:
    async with running(alone) as server:
        await drill(server, "no_model")
        await asyncio.to_thread(publish, alone.artifacts_dir, "v1")
        assert (await recovered(server, "no_model"))["model_version"] == "v1"


async def test_a_batch_that_is_three_days_old_is_named_until_the_next_one(alone: Settings) -> None:
    now_ms = time.time_ns() // 1_000_000
    for version, cutoff_ms in (("old", now_ms - 3 * DAY_MS), ("new", Policies().bucket.start_of(now_ms))):
        await asyncio.to_thread(shelve, alone.artifacts_dir, version, cutoff_ms=cutoff_ms)
    point_to(alone.artifacts_dir, "old")
    async with running(alone) as server:
        await drill(server, "stale_model")
        point_to(alone.artifacts_dir, "new")
        assert (await recovered(server, "stale_model"))["model_version"] == "new"


async def test_a_cassandra_that_is_gone_is_found_again(alone: Settings, cassandra: CassandraSettings) -> None:
    own = cassandra.model_copy(update={"keyspace": "ladder"})
    table = await asyncio.to_thread(HistoryTable.create, own, alone.feast.project)
    await asyncio.to_thread(table.close)
    numbers = itertools.count()
    with_it = alone.model_copy(update={"cassandra": own})
    async with behind_a_door(with_it, "cassandra") as (door, settings), running(settings) as server:

        async def is_read() -> bool:
            """Of strangers only: what was read once is remembered."""
            return "no_history" not in (await server.recommend(f"stranger{next(numbers)}"))["degraded"]

        await wait_until_async(is_read, PATIENCE_S, "Cassandra")
        await door.shut()
        await drill(server, "no_history")
        await door.open()
        await wait_until_async(is_read, PATIENCE_S, "Cassandra again")


async def test_a_stream_that_has_stopped_is_named_until_its_rows_come(
    settings: Settings, redis_server: RedisSettings, topics: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_pulse, "PATIENCE_MS", 300)
    async with running(settings) as server:
        await recovered(server, "stale_speed")
        sent = event("e1")
        received_at_ms = (await server.send(sent)).json()["received_at_ms"]
        await server.slate_where(lambda slate: "stale_speed" in slate["degraded"], "the silence to be named")
        await drill(server, "stale_speed")
        row = ItemState.load(None, settings.policies)
        row.add(fact("e1", received_at_ms=received_at_ms), stamp(received_at_ms))
        await asyncio.to_thread(_write, settings.kafka, row.dump())
        await recovered(server, "stale_speed")


async def test_while_kafka_is_away_events_wait_on_disk_and_follow_once(
    settings: Settings, redis_server: RedisSettings, topics: list[str]
) -> None:
    spooling = settings.model_copy(update={"serving": settings.serving.model_copy(update={"spool_mb_max": 1})})
    async with behind_a_door(spooling, "kafka") as (door, through):
        await door.shut()
        async with running(through) as server:
            response = await server.send(event("e1"), {"event_id": "bad"}, event("e2"))
            assert response.status_code == 202
            assert [each["verdict"] for each in response.json()["verdicts"]] == ["spooled", "rejected", "spooled"]
            await drill(server, "stale_speed")
            await door.open()
            records = await asyncio.to_thread(records_of, settings.kafka, INTERACTIONS, 2)
            assert [decode_interaction(record.value).event_id for record in records] == ["e1", "e2"]

            async def is_taken() -> bool:
                return (await server.send(event("e3"))).status_code == 200

            await wait_until_async(is_taken, PATIENCE_S, "Kafka to be used again")
            assert list(settings.spool_dir.glob("*.spool")) == []


def _write(kafka: KafkaSettings, row: bytes) -> None:
    """A row of the item `alien`, as the stream writes it."""
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap)
    producer.send(ITEM_STATES.named(kafka.topic_prefix).name, key=b"alien", value=row).get(timeout=PATIENCE_S)
    producer.close()
