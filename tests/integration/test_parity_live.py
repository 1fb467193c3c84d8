"""Parity while everything moves: events come, item rows lag, and batch rows are being published. No false alarm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from batch.lake.archiver import now_ms
from batch.parity import compare
from batch.parity_findings import Parity
from domain.policies import BucketPolicy, Policies, SessionPolicy
from feature_repo.store import close_store, register
from infra.settings import CassandraSettings, RedisSettings, Settings
from tests.integration.parity_world import World

PERIOD_MS = 4_000
POLICIES = Policies(bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1), session=SessionPolicy(gap_ms=600_000))
CLOSED_AFTER_MS = 500
RUNS_MIN = 5
UNDER_FIRE_LIMIT_S = 120.0
SETTLE_S = 10.0


@pytest.fixture
def world(settings: Settings, topics: list[str], redis_server: RedisSettings, cassandra: CassandraSettings) -> World:
    short = settings.model_copy(update={"policies": POLICIES})
    close_store(register(short))
    return World(short)


class Traffic:
    """Sends and streams in bursts; an item's row comes a burst late, as a coalesced one does."""

    def __init__(self, world: World) -> None:
        self.sent = 0
        self._world = world
        self._late: set[str] = set()

    def step(self) -> None:
        taken = self._world.send(15)
        self.sent += len(taken)
        self._world.observe(taken)
        self._world.write(self._world.updates({("visitor", one.event.visitor_id) for one in taken}))
        self.settle()
        self._late = {one.event.item_id for one in taken}
        time.sleep(0.05)

    def settle(self) -> None:
        self._world.write(self._world.updates({("item", item) for item in self._late}))


class Daily:
    """Publishes every bucket that is closed, a few rows at a time."""

    def __init__(self, world: World) -> None:
        self.published: list[tuple[float, float]] = []
        self._world = world
        self._cutoff_ms = 0

    def step(self) -> None:
        cutoff_ms = POLICIES.bucket.last_closed_end(now_ms(), CLOSED_AFTER_MS)
        if cutoff_ms == self._cutoff_ms:
            time.sleep(0.1)
            return
        started = time.monotonic()
        self._world.publish(cutoff_ms, pause_s=0.2)
        self._cutoff_ms = cutoff_ms
        self.published.append((started, time.monotonic()))


@contextmanager
def running(*steps: Callable[[], None]) -> Iterator[None]:
    """Repeat each step in a thread of its own; an error in one of them fails the test."""
    stop = threading.Event()

    def repeat(step: Callable[[], None]) -> None:
        while not stop.is_set():
            step()

    with ThreadPoolExecutor(len(steps)) as threads:
        repeated = [threads.submit(repeat, step) for step in steps]
        try:
            yield
        finally:
            stop.set()
        for one in repeated:
            one.result()


def is_enough(runs: list[tuple[float, float, Parity]], published: list[tuple[float, float]]) -> bool:
    """Whether there were runs and publications, and a run during one of them."""
    meetings = [1 for started, ended, _ in runs for begun, over in published if begun < ended and over > started]
    rows = sum(found.rows for _, _, found in runs)
    return bool(meetings) and len(runs) >= RUNS_MIN and len(published) >= 2 and rows > 100


def test_under_traffic_and_while_batch_is_published_nothing_differs(world: World) -> None:
    traffic, daily, runs = Traffic(world), Daily(world), list[tuple[float, float, Parity]]()
    with running(traffic.step, daily.step):
        until = time.monotonic() + UNDER_FIRE_LIMIT_S
        while not is_enough(runs, daily.published):
            assert time.monotonic() < until, (runs, daily.published)
            started = time.monotonic()
            found = compare(world.settings, sample=None, is_at_rest=False, settle_limit_s=SETTLE_S)
            runs.append((started, time.monotonic(), found))
            assert (found.mismatches, found.worst) == (0, [])
    traffic.settle()
    settled = compare(world.settings, sample=None, is_at_rest=True, settle_limit_s=SETTLE_S)
    assert (settled.mismatches, settled.unsettled, settled.worst) == (0, 0, [])
    assert settled.rows > 100
