"""The feature writer behind a run of the job, and the archiver beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from resource import RUSAGE_CHILDREN, getrusage
from statistics import fmean
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from redis import Redis

from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_SESSION
from infra.processes import programs, redis
from infra.processes.identity import session_members
from infra.processes.launch import Child, launch
from infra.settings import PROJECT_ROOT, Settings
from schemas.topics import ITEM_STATES, VISITOR_STATES
from speed.writer.__main__ import GROUP
from tests.benchmark.groups import admin, committed
from tests.benchmark.job_run import JobRun

LIMIT_S: Final = 300.0
POLL_S: Final = 0.2
KEYS_WEIGHED: Final = 500


def measure_writer(run: JobRun, events: int) -> dict[str, Any]:
    """The writer catches up with the run's rows while the archiver catches up with its events."""
    settings = run.settings
    found: dict[str, Any] = {}
    with ExitStack() as running:
        server = redis.start(settings)
        running.callback(server.stop)
        server.wait_ready()
        archiving = threading.Thread(target=lambda: found.update(archiver=_archive(settings, events)))
        command = programs.writer(settings)
        writer = launch(replace(command, environment={**command.environment, **variables(settings)}))
        running.callback(writer.stop)
        archiving.start()
        found |= _write(writer, settings)
        archiving.join()
        client: Any = Redis(settings.redis.host, settings.redis.port)
        with closing(client):
            keys = EntityKeys(settings.feast.project, VISITOR_SESSION.join_key)
            weighed = [client.memory_usage(keys.key(f"visitor-{number:08x}")) for number in range(KEYS_WEIGHED)]
            found["redis_bytes_per_visitor"] = round(fmean([size for size in weighed if size] or [0]))
    return found


def variables(settings: Settings) -> dict[str, str]:
    """What a program of the main environment must be told of these settings."""
    return {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        "FIRTH_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "FIRTH_REDIS__PORT": str(settings.redis.port),
        "FIRTH_METRICS__WRITER_PORT": "0",
    }


def _write(writer: Child, settings: Settings) -> dict[str, Any]:
    """Rows a second and CPU a row, from the first commit until every row is in the store."""
    started_s, first = 0.0, (0, 0.0)
    topics = [topic.named(settings.kafka.topic_prefix) for topic in (VISITOR_STATES, ITEM_STATES)]
    places = [TopicPartition(topic.name, number) for topic in topics for number in range(topic.partitions)]
    with closing(KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)) as consumer:
        end = sum(consumer.end_offsets(places).values())
    deadline = time.monotonic() + LIMIT_S
    with admin(settings) as client:
        group = f"{settings.kafka.topic_prefix}{GROUP}"
        done = 0
        while done < end:
            if writer.exit_code() is not None or time.monotonic() > deadline:
                raise writer.failure(f"wrote {done} of {end} rows within {LIMIT_S:.0f} s")
            done = committed(client, group)
            if done and not started_s:
                started_s, first = time.monotonic(), (done, _cpu_s(writer))
            time.sleep(POLL_S)
        took_s, rows = time.monotonic() - started_s, end - first[0]
    return {
        "rows": rows,
        "rows_per_s": round(rows / took_s),
        "cpu_us_per_row": round((_cpu_s(writer) - first[1]) / max(rows, 1) * 1e6, 1),
    }


def _archive(settings: Settings, events: int) -> Mapping[str, Any]:
    """`python -m batch archive --once`: events a second from its start to its end, and CPU an event."""
    before, started_s = getrusage(RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "batch", "archive", "--once"],
        cwd=PROJECT_ROOT,
        env={**os.environ, **variables(settings)},
        capture_output=True,
        check=True,
    )
    took_s, after = time.monotonic() - started_s, getrusage(RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "events": events,
        "events_per_s": round(events / took_s),
        "cpu_us_per_event": round(cpu_s / events * 1e6, 1),
    }


def _cpu_s(child: Child) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in session_members(child.identity))
