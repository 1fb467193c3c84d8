"""The server and all that it reads, on ports of their own; what it uses, and what it says of its stages."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from time import monotonic
from typing import Final

import psutil

from feature_repo.cassandra_table import Address, RowTable, connect
from feature_repo.views import VISITOR_HISTORY
from infra.metrics import STAGES
from infra.processes import cassandra, kafka, programs, redis
from infra.processes.identity import session_members
from infra.processes.launch import Child, launch
from infra.processes.ports import choose_free_ports
from infra.processes.topics import ensure_topics
from infra.settings import Settings, load_settings
from tests.waiting import wait_until

START_LIMIT_S: Final = 900.0
KEYSPACE: Final = (
    "CREATE KEYSPACE IF NOT EXISTS \"{}\" WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
)
STORES: Final = {"cassandra": cassandra.start, "kafka": kafka.start, "redis": redis.start}
"""By how long they take to start."""

PLACEMENTS: Final = {"email": {"tier": "instant", "count": 20}}
"""One placement answers at the instant tier, and otherwise as the home page does."""

SCRAPES_PER_WORKER: Final = 8
ROUTE: Final = "recommendations"
OTHER: Final = "other"

_WORKER: Final = re.compile(r"^process_start_time_seconds (\S+)$", re.MULTILINE)
_STAGE: Final = re.compile(r'^firth_serving_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)$', re.MULTILINE)
_REQUEST: Final = re.compile(rf'^firth_serving_request_seconds_(sum|count)\{{route="{ROUTE}"\}} (\S+)$', re.MULTILINE)

Times = Mapping[str, tuple[float, float]]
"""By stage, and of whole requests (`OTHER`): seconds and how often, since the worker's start."""


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far, and memory. PSS shares out among processes what they have in common."""

    cpu_s: float
    rss_mb: int
    pss_mb: int


class Servers:
    """What runs, until the stack that started it is closed."""

    def __init__(self, settings: Settings, running: Mapping[str, Child], ready_s: float) -> None:
        self.settings = settings
        self.ready_s = ready_s
        self._running = running

    def usage(self) -> dict[str, Usage]:
        """Of each server's processes."""
        return {name: usage_of(child) for name, child in self._running.items()}

    def scrape(self) -> dict[str, Times]:
        """The stages' times by worker: one connection reaches one of them, so many are made."""
        serving = self.settings.serving
        found: dict[str, Times] = {}
        for _ in range(SCRAPES_PER_WORKER * serving.workers if serving.workers > 1 else 1):
            worker, times = parse_metrics(_get(serving.port, "/metrics").decode())
            found[worker] = times
        return found


def usage_of(child: Child) -> Usage:
    """Of a child and all that it started."""
    cpu_s, rss, pss = 0.0, 0, 0
    for process in session_members(child.identity):
        with suppress(psutil.NoSuchProcess):
            cpu_s += sum(process.cpu_times()[:2])
            memory = process.memory_full_info()
            rss, pss = rss + memory.rss, pss + memory.pss
    return Usage(cpu_s, rss // 1_000_000, pss // 1_000_000)


@contextmanager
def state_folder(workers: int, artifacts: Path | None) -> Iterator[Settings]:
    """Settings of an instance of its own, in the environment for all that is started; its artifacts may be kept."""
    folder = Path(mkdtemp(prefix="bench-serving-"))
    os.environ.update(choose_free_ports(random.Random()) | {"FIRTH_STATE_DIR": str(folder)})
    os.environ["FIRTH_SERVING__WORKERS"] = str(workers)
    os.environ["FIRTH_SERVING__PLACEMENTS"] = json.dumps(PLACEMENTS)
    settings = load_settings()
    if artifacts is not None:
        artifacts.mkdir(parents=True, exist_ok=True)
        settings.artifacts_dir.symlink_to(artifacts.resolve())
    try:
        yield settings
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stores(settings: Settings, away: Collection[str] = ()) -> Iterator[dict[str, Child]]:
    """Redis, Kafka with its topics, and Cassandra with the table of visitors, until the block ends; but for `away`."""
    with ExitStack() as stack:
        running: dict[str, Child] = {}
        for name, start in STORES.items():
            if name not in away:
                running[name] = start(settings)
                stack.callback(running[name].stop)
        for child in running.values():
            child.wait_ready(START_LIMIT_S)
        if "kafka" in running:
            ensure_topics(settings.kafka)
        if "cassandra" in running:
            _create_table(settings)
        yield running


@contextmanager
def serving(settings: Settings, running: Mapping[str, Child]) -> Iterator[Servers]:
    """The server beside them, ready, until the block ends."""
    started_s = monotonic()
    child = launch(programs.serving(settings))
    try:
        child.wait_ready(START_LIMIT_S)
        wait_until(
            lambda: _is_ready(settings, running), START_LIMIT_S, "the server to have its model and its catalogue"
        )
        yield Servers(settings, {**running, "serving": child}, round(monotonic() - started_s, 1))
    finally:
        child.stop()


@contextmanager
def streaming(settings: Settings) -> Iterator[None]:
    """The speed job and the feature writer beside it, until the block ends."""
    with ExitStack() as stack:
        for command in (programs.speed(settings), programs.writer(settings)):
            child = launch(command)
            stack.callback(child.stop)
            child.wait_ready(START_LIMIT_S)
        yield


def parse_metrics(text: str) -> tuple[str, Times]:
    """Which worker has answered, and its times."""
    worker = _WORKER.search(text)
    pairs: dict[str, dict[str, float]] = {}
    for which, stage, value in _STAGE.findall(text):
        pairs.setdefault(stage, {})[which] = float(value)
    for which, value in _REQUEST.findall(text):
        pairs.setdefault(OTHER, {})[which] = float(value)
    return worker.group(1) if worker else "", {name: (one["sum"], one["count"]) for name, one in pairs.items()}


def stage_ms(before: Mapping[str, Times], after: Mapping[str, Times]) -> dict[str, float]:
    """Mean milliseconds of a request in each stage between two scrapes, and in the rest of the server's code.

    Of the workers that both have reached; these are times by the clock, waiting included.
    """
    spent = dict.fromkeys((*STAGES, OTHER), 0.0)
    requests = 0.0
    for worker in before.keys() & after.keys():
        requests += after[worker][OTHER][1] - before[worker][OTHER][1]
        for name in spent:
            spent[name] += after[worker][name][0] - before[worker][name][0]
    spent[OTHER] -= sum(spent[stage] for stage in STAGES)
    return {name: round(seconds / requests * 1_000, 3) for name, seconds in spent.items()} if requests else {}


def _create_table(settings: Settings) -> None:
    ring = settings.cassandra
    cluster, session = connect(Address((ring.host,), ring.port, ring.local_datacentre), request_timeout_s=60)
    try:
        session.execute(KEYSPACE.format(ring.keyspace))
        session.execute(RowTable.definition(ring.keyspace, settings.feast.project, VISITOR_HISTORY.name))
    finally:
        cluster.shutdown()


def _is_ready(settings: Settings, running: Collection[str]) -> bool:
    """Every worker answers, has a model, and reaches the stores that are there."""
    wanted = [b'"ready":true', *(f'"{name}":"usable"'.encode() for name in running)]
    for _ in range(SCRAPES_PER_WORKER * settings.serving.workers):
        answer = _get(settings.serving.port, "/readyz")
        if b'"model":"none"' in answer or not all(part in answer for part in wanted):
            return False
    return True


def _get(port: int, path: str) -> bytes:
    """An answer over a connection of its own; empty where there is none yet."""
    connection = http.client.HTTPConnection(programs.LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path, headers={"connection": "close"})
        return connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return b""
    finally:
        connection.close()
