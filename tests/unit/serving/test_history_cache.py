"""The cache of batch rows: bounded, never waited for twice, and better stale than absent."""

from __future__ import annotations

import asyncio

import pytest

from domain.merge import Cells
from schemas.errors import DependencyError
from serving.adapters.history_cache import FRESH_S, HistoryCache
from tests.unit.serving.fakes import FakeBatch


class SlowBatch:
    """A store that answers when it is told to."""

    def __init__(self) -> None:
        self.answer = asyncio.Event()

    def is_at_hand(self, visitor_id: str) -> bool:
        return False

    async def read(self, visitor_id: str) -> Cells | None:
        await self.answer.wait()
        return {"cutoff_ms": 1}


class Clock:
    """A clock that stands until it is moved."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def settle() -> None:
    """Let tasks that are ready run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_row_is_read_once_while_it_is_fresh() -> None:
    store = FakeBatch({"ada": {"cutoff_ms": 1}})
    cache = HistoryCache(store, 10, 1_000)
    assert [await cache.read("ada") for _ in range(3)] == [{"cutoff_ms": 1}] * 3
    assert store.reads == 1


async def test_that_there_is_no_row_is_remembered_too() -> None:
    store = FakeBatch()
    cache = HistoryCache(store, 10, 1_000)
    assert [await cache.read("ada") for _ in range(3)] == [None] * 3
    assert store.reads == 1


async def test_a_stale_row_is_served_while_it_is_read_again() -> None:
    store, clock = FakeBatch({"ada": {"cutoff_ms": 1}}), Clock()
    cache = HistoryCache(store, 10, 1_000, clock)
    await cache.read("ada")
    store.rows["ada"] = {"cutoff_ms": 2}
    clock.now = FRESH_S + 1
    assert await cache.read("ada") == {"cutoff_ms": 1}
    await settle()
    assert await cache.read("ada") == {"cutoff_ms": 2}


async def test_a_publication_makes_every_row_stale_at_once() -> None:
    store = FakeBatch({"ada": {"cutoff_ms": 1}})
    cache = HistoryCache(store, 10, 1_000)
    await cache.read("ada")
    store.rows["ada"] = {"cutoff_ms": 2}
    cache.expire()
    await cache.read("ada")
    await settle()
    assert await cache.read("ada") == {"cutoff_ms": 2}


async def test_a_stale_row_is_served_for_as_long_as_the_store_is_away() -> None:
    store, clock = FakeBatch({"ada": {"cutoff_ms": 1}}), Clock()
    cache = HistoryCache(store, 10, 1_000, clock)
    await cache.read("ada")
    store.away = True
    clock.now = FRESH_S + 1
    await cache.read("ada")
    await settle()
    assert await cache.read("ada") == {"cutoff_ms": 1}


async def test_a_store_that_is_away_is_told_and_asked_again_next_time() -> None:
    store = FakeBatch(away=True)
    cache = HistoryCache(store, 10, 1_000)
    with pytest.raises(DependencyError):
        await cache.read("ada")
    store.away = False
    assert await cache.read("ada") is None


async def test_a_slow_store_costs_the_deadline_once_and_fills_the_cache_all_the_same() -> None:
    store = SlowBatch()
    cache = HistoryCache(store, 10, deadline_ms=5)
    with pytest.raises(DependencyError):
        await cache.read("ada")
    store.answer.set()
    await settle()
    assert await cache.read("ada") == {"cutoff_ms": 1}


async def test_the_rows_used_longest_ago_make_room() -> None:
    store = FakeBatch()
    cache = HistoryCache(store, 2, 1_000)
    for visitor in ("a", "b", "a", "c"):
        await cache.read(visitor)
    assert len(cache) == 2
    reads = store.reads
    await cache.read("a")
    assert store.reads == reads
    await cache.read("b")
    assert store.reads == reads + 1
