"""One instance's log and stores, driven by hand: the stream is the domain's states in memory, all servers are real."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore
from kafka import KafkaProducer
from redis import Redis

from batch.lake.archiver import archive_to_end, now_ms
from batch.lake.importer import import_file
from batch.lake.interactions import to_records
from batch.lake.mapping import ColumnMapping
from batch.lake.table import Lake
from domain.facts import Stamp
from domain.features import JOIN_KEYS, Entity
from domain.manifests import Manifest, point_to, write_manifest
from domain.policies import DAY_MS
from domain.reference import LogRecord, facts_by_key
from feature_repo.layout import EntityKeys
from feature_repo.offline import TIMESTAMP_COLUMN, arrow_schema
from feature_repo.store import close_store, open_store
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, View
from infra.settings import Settings
from schemas.events import KINDS, encode
from speed.writer.finishing import FeatureUpdate, Finisher
from speed.writer.sink import RedisFeatureSink
from tests.builders import interaction
from tests.rows import opened
from tests.unit.batch.stream_in_memory import StreamInMemory, batch_cells

VISITORS: Final = 30
ITEMS: Final = 25
BATCH_VIEWS: Final = (VISITOR_HISTORY, ITEM_PROFILE)
ROWS_TOGETHER: Final = 8


class World:
    """The log and the stores of one test. What one thread sends and streams another may publish."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._draw = random.Random(3)
        self._sent = 0
        self._stream = StreamInMemory(settings.policies)
        self._finisher = Finisher(settings.feast.project, settings.policies)

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

    def send(self, events: int) -> list[LogRecord]:
        """Live events, one in ten a duplicate and one in ten silent, as Kafka took them."""
        topic = f"{self.settings.kafka.topic_prefix}interactions"
        waiting = []
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
                    value=self._draw.choice((None, 4.5)),
                    personalise=self._draw.random() > 0.1,
                )
                waiting.append((event, producer.send(topic, key=visitor.encode(), value=encode(event))))
            taken = [(event, future.get(timeout=30)) for event, future in waiting]
        return [LogRecord(event, Stamp(at.timestamp, at.partition, at.offset)) for event, at in taken]

    def stream(self, records: Iterable[LogRecord]) -> None:
        """What the speed job and the writer do with what was sent."""
        taken = list(records)
        self.observe(taken)
        self.write(self.updates({("visitor", one.event.visitor_id) for one in taken}))
        self.write(self.updates({("item", one.event.item_id) for one in taken}))

    def observe(self, records: Iterable[LogRecord]) -> None:
        """What the speed job does; nothing is written."""
        self._stream.observe(records)

    def updates(self, keys: Iterable[tuple[Entity, str]]) -> list[FeatureUpdate]:
        """The rows of these keys as the stream has them now."""
        found = []
        for entity, key in sorted(keys):
            row = self._stream.row(entity, key)
            finish = self._finisher.visitor if entity == "visitor" else self._finisher.item
            if row is not None:
                found.append(finish(key, opened(row)))
        return found

    def write(self, updates: list[FeatureUpdate]) -> None:
        with closing(RedisFeatureSink(self.settings.redis, self.settings.feast.project)) as sink:
            sink.write(updates)

    def publish(self, cutoff_ms: int, *, pause_s: float = 0.0) -> None:
        """What the daily run does, from the naive reference: rows, a few at a time, and then the pointer."""
        log, store = self.log(), open_store(self.settings)
        try:
            for view in BATCH_VIEWS:
                path = self.settings.state_dir / f"{view.name}-{cutoff_ms}.parquet"
                pq.write_table(self._batch_rows(view, log, cutoff_ms), path)
                write_slowly(store, view, path, pause_s)
        finally:
            close_store(store)
        folder = self.settings.artifacts_dir / str(cutoff_ms)
        folder.mkdir(parents=True)
        write_manifest(folder, Manifest(str(cutoff_ms), now_ms(), cutoff_ms, 1, "", {}, {}, {}))
        point_to(self.settings.artifacts_dir, str(cutoff_ms))

    def _batch_rows(self, view: View, log: list[LogRecord], cutoff_ms: int) -> pa.Table:
        at, rows = datetime.fromtimestamp(cutoff_ms / 1000, UTC), []
        for key, facts in facts_by_key(view.entity, log, self.settings.policies).items():
            covered = [fact for fact in facts if fact.received_at_ms < cutoff_ms]
            if covered:
                cells = batch_cells(view.entity, covered, cutoff_ms, self.settings.policies)
                rows.append({view.join_key: key, TIMESTAMP_COLUMN: at, **cells})
        return pa.Table.from_pylist(rows, schema=arrow_schema(view))

    def log(self) -> list[LogRecord]:
        archive_to_end(self.settings)
        return to_records(Lake.open(self.settings.lake_dir, self.settings.policies.bucket).read())

    def change(self, view: View, key: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
        """Make cells of a row in Redis wrong; returns the row as it was."""
        layout = view.layout()
        with Redis(self.settings.redis.host, self.settings.redis.port) as redis:
            cells = layout.decode(redis.hmget(self.redis_key(view.entity, key), layout.fields))
            assert cells is not None
            fields = layout.encode({**cells, **change(cells)}, now_ms())
            redis.hset(self.redis_key(view.entity, key), items=fields)
        return cells

    def drop(self, entity: Entity, key: str) -> None:
        """Lose the rows of the stream."""
        with Redis(self.settings.redis.host, self.settings.redis.port) as redis:
            assert redis.delete(self.redis_key(entity, key)) == 1

    def rename(self, entity: Entity, key: str, other: str) -> None:
        """Put the rows of one key under another one too."""
        with Redis(self.settings.redis.host, self.settings.redis.port) as redis:
            redis.copy(self.redis_key(entity, key), self.redis_key(entity, other))

    def redis_key(self, entity: Entity, key: str) -> bytes:
        return EntityKeys(self.settings.feast.project, JOIN_KEYS[entity]).key(key)


def write_slowly(store: FeatureStore, view: View, path: Path, pause_s: float) -> None:
    for batch in pq.ParquetFile(path).iter_batches(ROWS_TOGETHER):
        store.write_to_online_store(view.name, batch.to_pandas())
        time.sleep(pause_s)
    at = datetime.now(UTC)
    store.registry.apply_materialization(
        store.get_feature_view(view.name), store.project, at - timedelta(seconds=1), at, commit=True
    )


def run_parity(settings: Settings, *arguments: str) -> tuple[int, dict[str, Any]]:
    """`python -m batch parity`: its exit code and its line."""
    variables = {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        "FIRTH_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "FIRTH_REDIS__PORT": str(settings.redis.port),
        "FIRTH_CASSANDRA__PORT": str(settings.cassandra.port),
        "FIRTH_CASSANDRA__KEYSPACE": settings.cassandra.keyspace,
        "FIRTH_FEAST__PROJECT": settings.feast.project,
        "FIRTH_METRICS__PARITY_PORT": str(settings.metrics.parity_port),
    }
    command = [sys.executable, "-m", "batch", "parity", *arguments]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout.splitlines()[-1])
