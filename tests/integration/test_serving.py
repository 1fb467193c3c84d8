"""The server on real Kafka, Redis and Cassandra: events in, slates out, artifacts swapped under requests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from domain.features import batch_view_columns
from infra.settings import CassandraSettings, RedisSettings, Settings
from schemas.events import ImpressionEvent, decode, decode_interaction
from schemas.topics import IMPRESSIONS, INTERACTIONS
from tests.declared import as_file, experiment
from tests.history_table import HistoryTable
from tests.integration.serving_world import (
    PATIENCE_S,
    RunningServer,
    event,
    records_of,
    running,
    write_session,
)
from tests.published import publish
from tests.waiting import wait_until_async


@pytest.fixture
async def server(settings: Settings, redis_server: RedisSettings, topics: list[str]) -> AsyncIterator[RunningServer]:
    publish(settings.artifacts_dir, "v1")
    async with running(settings) as started:
        yield started


async def test_an_accepted_event_is_in_kafka_under_its_visitor_with_the_catalogues_facts(
    server: RunningServer, settings: Settings
) -> None:
    await server.put_films()
    before_ms = time.time_ns() // 1_000_000
    answer = (await server.send(event("e1"), {**event("e2"), "kind": "stare"}, event("e3", item="unheard"))).json()
    assert [each["verdict"] for each in answer["verdicts"]] == ["accepted", "rejected", "accepted"]
    records = await asyncio.to_thread(records_of, settings.kafka, INTERACTIONS, 2)
    assert [record.key for record in records] == [b"ada", b"ada"]
    events = [decode_interaction(record.value) for record in records]
    assert [each.event_id for each in events] == ["e1", "e3"]
    assert [each.context.categories for each in events] == [("film",), ()]
    assert answer["received_at_ms"] == records[-1].timestamp >= before_ms


async def test_a_thousand_events_of_many_visitors_are_all_accepted(server: RunningServer, settings: Settings) -> None:
    batch = [event(f"e{number}", visitor=f"v{number % 50}") for number in range(1_000)]
    answer = (await server.send(*batch)).json()
    assert answer["accepted"] == 1_000
    records = await asyncio.to_thread(records_of, settings.kafka, INTERACTIONS, 1_000)
    assert {decode_interaction(record.value).event_id for record in records} == {each["event_id"] for each in batch}


async def test_a_slate_follows_the_session_in_redis(server: RunningServer, settings: Settings) -> None:
    await server.put_films()
    at_ms = await write_session(settings, "ada", "heat", "alien")
    slate = await server.recommend()
    assert slate["session"] == {"items": ["heat", "alien"], "length": 2}
    assert slate["features_as_of_ms"] == at_ms
    reasons = {item["item_id"]: item["reason"] for item in slate["items"]}
    assert reasons["aliens"] == "because you looked at Alien"
    assert reasons["ronin"] == "because you looked at Heat"
    assert {"heat", "alien"}.isdisjoint(item["item_id"] for item in slate["items"])


async def test_every_personal_slate_leaves_an_impression(server: RunningServer, settings: Settings) -> None:
    await server.recommend("bob", personalise=False)
    slate = await server.recommend("ada")
    (record,) = await asyncio.to_thread(records_of, settings.kafka, IMPRESSIONS, 1)
    impression = decode(ImpressionEvent, record.value)
    assert record.key == b"ada"
    assert impression.slate_id == slate["slate_id"]
    assert list(impression.items) == [item["item_id"] for item in slate["items"]]
    assert len(impression.propensities) == len(impression.items)


async def test_an_experiment_is_in_the_answers_and_in_the_impressions_once_it_is_declared(
    server: RunningServer, settings: Settings
) -> None:
    await asyncio.to_thread(settings.experiments_path.write_bytes, as_file(experiment("weights")))

    async def is_running() -> bool:
        return server.server.experiments.names == ("weights",)

    await wait_until_async(is_running, PATIENCE_S, "the experiment")
    slate = await server.recommend("ada")
    (record,) = await asyncio.to_thread(records_of, settings.kafka, IMPRESSIONS, 1)
    impression = decode(ImpressionEvent, record.value)
    (said,), (logged,) = slate["experiments"], impression.assigned
    assert said == {"experiment": "weights", "arm": logged.arm, "propensity": 0.5}
    assert impression.arm == f"weights/{logged.arm}"


async def test_history_and_stream_are_merged(
    settings: Settings, redis_server: RedisSettings, cassandra: CassandraSettings, topics: list[str]
) -> None:
    patient = settings.model_copy(
        update={
            "cassandra": settings.cassandra.model_copy(update={"timeout_ms": 5_000}),
            "serving": settings.serving.model_copy(update={"hydrate_deadline_ms": 5_000}),
        }
    )
    table = await asyncio.to_thread(HistoryTable.create, patient.cassandra, settings.feast.project)
    now_ms = time.time_ns() // 1_000_000
    cutoff_ms = settings.policies.bucket.start_of(now_ms)
    empty = dict.fromkeys(name for name, _ in batch_view_columns("visitor"))
    await asyncio.to_thread(table.put, "ada", empty | {"cutoff_ms": cutoff_ms, "history_interactions": 40})
    await write_session(settings, "ada", "alien", "heat")
    async with running(patient) as server:

        async def is_connected() -> bool:
            return server.server.history.is_connected

        await wait_until_async(is_connected, PATIENCE_S, "Cassandra")
        features = (await server.http.get("/v1/visitors/ada")).json()
        slate = await server.recommend()
    await asyncio.to_thread(table.close)
    assert features["history"]["history_interactions"] == 40
    assert features["profile"]["interactions"] == 42
    assert (features["covered_to_ms"], slate["covered_to_ms"]) == (cutoff_ms, cutoff_ms)
    assert slate["degraded"] == ["no_model"]


async def test_an_artifact_is_swapped_under_requests_without_a_failed_one(
    server: RunningServer, settings: Settings
) -> None:
    versions: list[str] = []
    stopped = asyncio.Event()

    async def ask() -> None:
        while not stopped.is_set():
            versions.append((await server.recommend())["model_version"])
            await asyncio.sleep(0)

    askers = [asyncio.create_task(ask()) for _ in range(4)]
    await asyncio.to_thread(publish, settings.artifacts_dir, "v2")
    await server.slate_where(lambda slate: slate["model_version"] == "v2", "the new model")
    stopped.set()
    await asyncio.gather(*askers)
    assert sorted(versions) == versions
    assert set(versions) == {"v1", "v2"}


async def test_readiness_names_what_is_there_and_what_is_not(server: RunningServer) -> None:
    answer = await server.http.get("/readyz")
    assert answer.status_code == 200
    checks = answer.json()["checks"]
    assert checks["model"] == "v1"
    assert (checks["catalogue"], checks["trends"]) == ("following", "following")
    assert checks["redis"] == "usable"
    assert checks["cassandra"] == "away"
