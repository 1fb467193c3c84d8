"""One contract for the stores of visitor features, on the fakes and on the real ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from domain.features import batch_view_columns
from domain.merge import Cells
from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_RECENT, VISITOR_SESSION
from infra.settings import CassandraSettings, RedisSettings, Settings
from schemas.errors import DependencyError
from serving.adapters.cassandra_history import CassandraHistory
from serving.adapters.redis_features import RedisFeatures
from serving.pipeline.hydrate import NEEDED, BatchFeatures, SpeedFeatures, SpeedRows
from tests.builders import START_MS
from tests.history_table import HistoryTable
from tests.unit.serving.fakes import FakeBatch, FakeSpeed, speed_rows

PutSpeed = Callable[[str, SpeedRows], Awaitable[None]]
PutBatch = Callable[[str, Cells], Awaitable[None]]
DEADLINE_MS = 5_000


@pytest.fixture(params=["fake", "redis"])
async def speed(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SpeedFeatures, PutSpeed]]:
    if request.param == "fake":
        fake = FakeSpeed()

        async def put_fake(visitor_id: str, rows: SpeedRows) -> None:
            fake.rows[visitor_id] = rows

        yield fake, put_fake
        return
    address: RedisSettings = request.getfixturevalue("redis_server")
    settings: Settings = request.getfixturevalue("settings")
    keys = EntityKeys(settings.feast.project, "visitor_id")
    redis = Redis(host=address.host, port=address.port)

    async def put(visitor_id: str, rows: SpeedRows) -> None:
        for view, cells in ((VISITOR_SESSION, rows.session), (VISITOR_RECENT, rows.recent)):
            if cells is not None:
                await redis.execute_command("HSET", keys.key(visitor_id), *view.layout().encode(cells, START_MS))

    reader = RedisFeatures(address, settings.feast.project, DEADLINE_MS)
    yield reader, put
    await reader.close()
    await redis.aclose()


@pytest.fixture(params=["fake", "cassandra"])
async def batch(request: pytest.FixtureRequest) -> AsyncIterator[tuple[BatchFeatures, PutBatch]]:
    if request.param == "fake":
        fake = FakeBatch()

        async def put_fake(visitor_id: str, cells: Cells) -> None:
            fake.rows[visitor_id] = cells

        yield fake, put_fake
        return
    request.getfixturevalue("cassandra")
    settings: Settings = request.getfixturevalue("settings")
    patient = settings.cassandra.model_copy(update={"timeout_ms": DEADLINE_MS})
    table = await asyncio.to_thread(HistoryTable.create, patient, settings.feast.project)

    async def put(visitor_id: str, cells: Cells) -> None:
        await asyncio.to_thread(table.put, visitor_id, cells)

    reader = CassandraHistory(patient, settings.feast.project)
    reader.start()
    deadline = time.monotonic() + 30
    while not reader.is_connected:
        assert time.monotonic() < deadline, "Cassandra was not connected"
        await asyncio.sleep(0.05)
    yield reader, put
    await asyncio.to_thread(reader.close)
    await asyncio.to_thread(table.close)


def history(cutoff_ms: int) -> dict[str, Any]:
    """A batch row of which only the cutoff and the count are set."""
    empty: dict[str, Any] = dict.fromkeys(name for name, _ in batch_view_columns("visitor"))
    return empty | {"cutoff_ms": cutoff_ms, "history_interactions": 7}


async def test_an_unknown_visitor_has_no_speed_rows(speed: tuple[SpeedFeatures, PutSpeed]) -> None:
    assert await speed[0].read("nobody") == SpeedRows(None, None)


async def test_speed_rows_come_back_as_they_were_written(speed: tuple[SpeedFeatures, PutSpeed]) -> None:
    store, put = speed
    rows = speed_rows("alien", "heat")
    await put("ada", rows)
    assert await store.read("ada") == rows


async def test_no_more_columns_come_back_than_were_asked_for(speed: tuple[SpeedFeatures, PutSpeed]) -> None:
    store, put = speed
    whole = speed_rows("alien", "heat")
    await put("ada", whole)
    some = await store.read("ada", NEEDED)
    rows = ((some.session, NEEDED.session, whole.session), (some.recent, NEEDED.recent, whole.recent))
    for cells, names, all_cells in rows:
        assert cells is not None
        assert all_cells is not None
        assert cells == {name: all_cells[name] for name in names}


async def test_one_view_may_be_there_without_the_other(speed: tuple[SpeedFeatures, PutSpeed]) -> None:
    store, put = speed
    rows = replace(speed_rows("alien"), session=None)
    await put("bob", rows)
    assert await store.read("bob") == rows


async def test_an_unknown_visitor_has_no_history(batch: tuple[BatchFeatures, PutBatch]) -> None:
    assert await batch[0].read("nobody") is None


async def test_a_batch_row_comes_back_as_it_was_written(batch: tuple[BatchFeatures, PutBatch]) -> None:
    store, put = batch
    await put("ada", history(START_MS))
    assert await store.read("ada") == history(START_MS)


async def test_a_redis_that_is_away_is_a_dependency_error_at_once(settings: Settings) -> None:
    nowhere = RedisFeatures(settings.redis.model_copy(update={"port": settings.serving.port}), "p", DEADLINE_MS)
    with pytest.raises(DependencyError, match="redis"):
        await nowhere.read("ada")
    await nowhere.close()


async def test_a_redis_that_does_not_answer_costs_the_deadline_and_no_more(settings: Settings) -> None:
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()
        await writer.wait_closed()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    store = RedisFeatures(settings.redis.model_copy(update={"port": port}), "p", deadline_ms=20)
    with pytest.raises(DependencyError):
        await asyncio.wait_for(store.read("ada"), 5)
    await store.close()
    over.set()
    silent.close()
    await silent.wait_closed()


async def test_a_cassandra_that_is_away_is_a_dependency_error_at_once(settings: Settings) -> None:
    nowhere = CassandraSettings(port=settings.serving.port, keyspace=settings.cassandra.keyspace)
    store = CassandraHistory(nowhere, "p")
    store.start()
    with pytest.raises(DependencyError, match="cassandra"):
        await store.read("ada")
    await asyncio.to_thread(store.close)
