"""Parity over the real Kafka, Redis and Cassandra. The stream is the domain's states in memory, the bytes are real."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kafka import KafkaProducer
from redis import Redis

from batch.lake.archiver import archive_to_end, now_ms
from batch.lake.importer import import_file
from batch.lake.interactions import to_records
from batch.lake.mapping import ColumnMapping
from batch.lake.table import Lake
from batch.parity import compare
from batch.parity_findings import Parity
from domain.features import Entity, column_names, features_of
from domain.policies import DAY_MS
from domain.reference import LogRecord, facts_by_key, totals
from feature_repo.layout import EntityKeys
from feature_repo.offline import TIMESTAMP_COLUMN, arrow_schema, offline_path
from feature_repo.store import close_store, register
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, VISITOR_SESSION
from infra.settings import CassandraSettings, RedisSettings, Settings
from schemas.events import KINDS, encode
from speed.writer.finishing import Finisher
from speed.writer.sink import RedisFeatureSink
from tests.builders import interaction
from tests.unit.batch.stream_in_memory import StreamInMemory

VISITORS, ITEMS = 30, 25


class World:
    """One instance's log and stores, driven by hand."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._draw = random.Random(3)
        self._sent = 0

    def import_history(self, folder: Path, rows: int) -> None:
        today_ms = self.settings.policies.bucket.start_of(now_ms())
        lines = [
            {
                "visitor_id": f"v{self._draw.randrange(VISITORS)}",
                "item_id": f"i{self._draw.randrange(ITEMS + 5)}",
                "kind": self._draw.choice(KINDS),
                "occurred_at_ms": today_ms - 1 - self._draw.randrange(20 * DAY_MS),
                "categories": self._draw.sample(("a", "b", "é"), 2),
            }
            for _ in range(rows)
        ]
        path = folder / "history.jsonl"
        path.write_text("\n".join(json.dumps(line) for line in lines))
        import_file(path, ColumnMapping("test"), self.settings, now_ms=now_ms())

    def send(self, events: int) -> None:
        """Live events, one in ten a duplicate and one in ten silent."""
        topic = f"{self.settings.kafka.topic_prefix}interactions"
        with closing(KafkaProducer(bootstrap_servers=self.settings.kafka.bootstrap)) as producer:
            for _ in range(events):
                self._sent += self._draw.random() > 0.1
                visitor = f"v{self._draw.randrange(VISITORS)}"
                event = interaction(
                    f"{visitor}-{self._sent}",
                    visitor=visitor,
                    item=f"i{self._draw.randrange(ITEMS)}",
                    kind=self._draw.choice(KINDS),
                    at_ms=now_ms() - self._draw.randrange(3_600_000),
                    categories=tuple(self._draw.sample(("a", "b", "c"), self._draw.randrange(3))),
                    value=self._draw.choice((None, 9.99)),
                    personalise=self._draw.random() > 0.1,
                )
                producer.send(topic, key=visitor.encode(), value=encode(event))
            producer.flush()

    def stream(self) -> None:
        """What the speed job and the writer do with all that was sent."""
        stream, finisher = (
            StreamInMemory(self.settings.policies),
            Finisher(self.settings.feast.project, self.settings.policies),
        )
        log = self.log()
        stream.observe(log)
        live = [one.event for one in log if one.stamp.partition >= 0]
        updates = []
        for visitor in {event.visitor_id for event in live}:
            row = stream.row("visitor", visitor)
            assert row is not None
            updates.append(finisher.visitor(visitor, row))
        for item in {event.item_id for event in live}:
            row = stream.row("item", item)
            if row is not None:
                updates.append(finisher.item(item, row))
        with closing(RedisFeatureSink(self.settings.redis, self.settings.feast.project)) as sink:
            sink.write(updates)

    def publish(self) -> None:
        """What the daily batch does: today's beginning is the cutoff."""
        cutoff_ms = self.settings.policies.bucket.start_of(now_ms())
        at = datetime.fromtimestamp(cutoff_ms / 1000, UTC)
        log, store = self.log(), register(self.settings)
        for view in (VISITOR_HISTORY, ITEM_PROFILE):
            rows = []
            for key, facts in facts_by_key(view.entity, log, self.settings.policies).items():
                covered = [fact for fact in facts if fact.received_at_ms < cutoff_ms]
                if covered:
                    cells = total_cells(view.entity, totals(view.entity, covered, self.settings.policies))
                    rows.append({view.join_key: key, TIMESTAMP_COLUMN: at, "cutoff_ms": cutoff_ms, **cells})
            path = Path(offline_path(self.settings.offline_dir, view.name))
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(view)), path)
        store.materialize(at - timedelta(days=1), at, feature_views=[VISITOR_HISTORY.name, ITEM_PROFILE.name])
        close_store(store)

    def log(self) -> list[LogRecord]:
        archive_to_end(self.settings)
        return to_records(Lake.open(self.settings.lake_dir, self.settings.policies.bucket).read())

    def change_session(self, visitor: str, column: str) -> tuple[Any, Any]:
        """Make one cell of Redis wrong; returns what it was and what it is."""
        layout = VISITOR_SESSION.layout()
        key = EntityKeys(self.settings.feast.project, VISITOR_SESSION.join_key).key(visitor)
        with Redis(self.settings.redis.host, self.settings.redis.port) as redis:
            cells = layout.decode(redis.hmget(key, layout.fields))
            assert cells is not None
            right = cells[column]
            redis.hset(key, items=layout.encode({**cells, column: right + 1}, now_ms()))
        return right, right + 1


def total_cells(entity: Entity, found: dict[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for feature in features_of(entity):
        packed = feature.aggregate.pack_total(found[feature.name])
        cells.update(zip(column_names(feature.total_columns()), packed, strict=True))
    return cells


@pytest.fixture
def world(settings: Settings, topics: list[str], redis_server: RedisSettings, cassandra: CassandraSettings) -> World:
    close_store(register(settings))
    return World(settings)


def run_command(settings: Settings, *arguments: str) -> tuple[int, dict[str, Any]]:
    variables = {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        "FIRTH_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "FIRTH_REDIS__PORT": str(settings.redis.port),
        "FIRTH_CASSANDRA__PORT": str(settings.cassandra.port),
        "FIRTH_CASSANDRA__KEYSPACE": settings.cassandra.keyspace,
        "FIRTH_FEAST__PROJECT": settings.feast.project,
    }
    command = [sys.executable, "-m", "batch", "parity", *arguments]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_stores_agree_with_the_log_before_and_after_batch_and_one_wrong_cell_is_named(
    world: World, tmp_path: Path
) -> None:
    world.import_history(tmp_path, 400)
    world.send(600)
    world.stream()
    before = compare(world.settings, sample=None, is_at_rest=True)
    assert (before.mismatches, before.worst) == (0, [])
    assert before.rows == 2 * VISITORS + ITEMS

    world.publish()
    world.send(200)
    world.stream()
    code, found = run_command(world.settings, "--all", "--at-rest")
    assert (code, found["mismatches"], found["unsettled"], found["worst"]) == (0, 0, 0, [])
    assert found["history_gaps"] == 0
    assert found["rows"] == 2 * VISITORS + ITEMS + 5

    right, wrong = world.change_session("v7", "session_length")
    code, found = run_command(world.settings, "--all")
    assert (code, found["mismatches"]) == (1, 1)
    assert found["worst"] == [{"feature": "session_length", "key": "v7", "expected": right, "actual": wrong}]


def test_rows_that_the_stream_owes_are_missed(world: World) -> None:
    world.send(50)
    found: Parity = compare(world.settings, sample=5, is_at_rest=False, settle_limit_s=0)
    assert found.mismatches == 10
    assert {one.feature for one in found.worst} == {"recent_offsets"}
