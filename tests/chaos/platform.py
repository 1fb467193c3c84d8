"""The platform under chaos: its settings, its start and end, and whether it has come to rest."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from infra.processes import control
from infra.processes.identity import kill_session
from infra.processes.plan import SERVICES
from infra.processes.ports import choose_free_ports
from infra.processes.record import USABLE, RunFolder, ServiceRecord
from infra.settings import PROJECT_ROOT, Settings
from schemas.topics import INTERACTIONS, ITEM_STATES, VISITOR_STATES
from speed.writer.__main__ import GROUP as WRITER_GROUP
from tests.chaos.traffic import GENRES, ITEMS

COMMAND_LIMIT_S: Final = 900
SPEED_GROUP: Final = "firth-speed"

Say = Callable[[str], None]


def environment(folder: Path, period_s: int) -> dict[str, str]:
    """The variables of an instance of its own: short buckets, a low bar for floods, and a horizon so near that what a
    rebuild reads of a long run is not all of it."""
    return choose_free_ports(random.Random()) | {
        "FIRTH_STATE_DIR": str(folder),
        "FIRTH_POLICIES__BUCKET__PERIOD_MS": str(period_s * 1_000),
        "FIRTH_POLICIES__SESSION__GAP_MS": "10000",
        "FIRTH_POLICIES__TIMELINE__HORIZON_MS": "120000",
        "FIRTH_POLICIES__ADMISSION__FUTURE_MAX_MS": "60000",
        "FIRTH_POLICIES__ADMISSION__ADMITTED_MAX": "40",
        "FIRTH_BATCH__CLOSING_GRACE_MS": "2000",
        "FIRTH_BATCH__ARCHIVE_INTERVAL_MS": "500",
        "FIRTH_BATCH__SPARK_MEMORY": "1g",
        "FIRTH_BATCH__TRAINING_MINUTES": "0.05",
        "FIRTH_FLINK__CHECKPOINT_INTERVAL_MS": "2000",
        "FIRTH_PARITY__EVERY_S": "15",
        "FIRTH_SCHEDULE__DAILY_AT": "never",
    }


class Platform:
    """One instance, brought up by the operator's command."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self._settings = settings
        self._say = say
        self._folder = RunFolder(settings.run_dir)

    def up(self) -> None:
        """Start all services and publish a catalogue."""
        control.up(self._settings, say=self._say)
        items = [{"item_id": item, "title": item, "categories": [GENRES[at % 5]]} for at, item in enumerate(ITEMS)]
        url = f"http://{self._settings.serving.host}:{self._settings.serving.port}/v1/items"
        httpx.post(url, json=items, timeout=30).raise_for_status()

    def down(self) -> None:
        """Stop all services; whatever is left of them afterwards is killed."""
        records = self._records()
        supervisor = self._folder.supervisor()
        try:
            control.down(self._settings, say=lambda line: None)
        finally:
            leaders = [record.identity for record in records] + [supervisor.identity if supervisor else None]
            for leader in leaders:
                if leader is not None:
                    with suppress(psutil.NoSuchProcess):
                        kill_session(leader)

    def unusable(self) -> dict[str, str]:
        """The services that are not ready, and what the supervisor says of them."""
        return {one.service: f"{one.state} {one.detail}".strip() for one in self._records() if one.state not in USABLE}

    def restarts(self) -> dict[str, int]:
        """How often each service was started again."""
        return {one.service: one.restarts for one in self._records() if one.restarts}

    def _records(self) -> list[ServiceRecord]:
        return [found for service in SERVICES if (found := self._folder.service(service.name)) is not None]

    def backlog(self) -> dict[str, int]:
        """How far the stream, the writer and the archiver are behind; empty when nothing is left to do."""
        try:
            return {name: lag for name, lag in self._lags() if lag}
        except KafkaError:
            return {"broker": 1}

    def run(self, module: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        """The exit code of `python -m module …`, and its last line."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        last = (done.stdout.strip().splitlines() or [""])[-1]
        if not last.startswith("{"):
            return done.returncode or 1, {"problem": done.stderr[-2_000:]}
        found: dict[str, Any] = json.loads(last)
        return done.returncode, found

    def _lags(self) -> Iterable[tuple[str, int]]:
        prefix = self._settings.kafka.topic_prefix
        interactions = INTERACTIONS.named(prefix).name
        states = [topic.named(prefix).name for topic in (VISITOR_STATES, ITEM_STATES)]
        bootstrap = self._settings.kafka.bootstrap
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap)) as admin:
            ends = self._ends([interactions, *states])
            for name, group, topics in (("stream", SPEED_GROUP, [interactions]), ("writer", WRITER_GROUP, states)):
                group_id = f"{prefix}{group}"
                committed = admin.list_group_offsets({group_id: None})[group_id]
                yield (
                    name,
                    sum(
                        end - max(getattr(committed.get(at), "offset", 0), 0)
                        for at, end in ends.items()
                        if at.topic in topics
                    ),
                )
        code, lake = self.run("batch", "lake", "status")
        lags = [_lag(table["partitions"]) for table in lake.values()] if code == 0 else [1]
        yield "archiver", sum(lags)

    def _ends(self, topics: list[str]) -> dict[TopicPartition, int]:
        with closing(KafkaConsumer(bootstrap_servers=self._settings.kafka.bootstrap)) as consumer:
            asked = [TopicPartition(topic, at) for topic in topics for at in consumer.partitions_for_topic(topic) or ()]
            ends: dict[TopicPartition, int] = consumer.end_offsets(asked)
            return ends


def _lag(partitions: list[dict[str, int]] | str) -> int:
    """Records that wait for the archiver; 1 when the broker did not tell."""
    return 1 if isinstance(partitions, str) else sum(one["lag"] for one in partitions)
