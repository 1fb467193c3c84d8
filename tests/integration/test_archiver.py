"""The archiver on a real broker: killed, raced, stopped, and always exactly once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

import pytest
from kafka import KafkaProducer

from batch.lake.archiver import Archiver, archive_to_end, archive_until, now_ms
from batch.lake.importer import Imported, ImportRefused, import_file
from batch.lake.mapping import ColumnMapping
from batch.lake.source import InteractionLog
from batch.lake.status import lake_status
from batch.lake.table import Lake
from infra.processes.readiness import heartbeat_path
from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.events import encode
from tests.builders import interaction
from tests.waiting import wait_until

LIMIT_S = 60
FAST = {"FIRTH_BATCH__ARCHIVE_INTERVAL_MS": "100", "FIRTH_BATCH__ARCHIVE_ROWS_MAX": "400"}

pytestmark = pytest.mark.usefixtures("topics")


class Producer:
    """Sends interactions of 50 visitors, numbered from 0."""

    def __init__(self, settings: Settings) -> None:
        self.sent = 0
        self._topic = f"{settings.kafka.topic_prefix}interactions"
        self._producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=5)

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            visitor = f"v{number % 50}"
            event = interaction(f"e{number}", visitor=visitor)
            self._producer.send(self._topic, key=visitor.encode(), value=encode(event))
        self._producer.flush()
        self.sent += count

    def send_raw(self, key: bytes, value: bytes) -> None:
        self._producer.send(self._topic, key=key, value=value)
        self._producer.flush()

    def close(self) -> None:
        self._producer.close()


@pytest.fixture
def producer(settings: Settings) -> Iterator[Producer]:
    producer = Producer(settings)
    yield producer
    producer.close()


def fast(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"batch": settings.batch.model_copy(update={"archive_interval_ms": 100, "archive_rows_max": 400})}
    )


@contextmanager
def archiver_process(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    variables = {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        "FIRTH_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        **FAST,
    }
    command = [sys.executable, "-m", "batch", "archive"]
    process = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def has_more_rows(settings: Settings, rows: int) -> bool:
    return bool(lake_status(settings)["rows"] > rows)


def assert_exactly_once(settings: Settings, sent: int) -> None:
    rows = Lake.open(settings.lake_dir, settings.policies.bucket).read(["partition", "offset", "event_id"])
    assert rows.num_rows == sent
    assert len(set(rows["event_id"].to_pylist())) == sent
    assert len(set(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))) == sent


def test_what_was_sent_is_archived_once_and_refused_records_only_move_the_offsets(
    settings: Settings, producer: Producer
) -> None:
    producer.send(500)
    producer.send_raw(b"ada", b"not json")
    producer.send_raw(b"eve", encode(interaction("stranger", visitor="ada")))
    done = archive_to_end(settings)
    assert done.rows == 500
    assert done.refused == {"malformed": 1, "key": 1}
    assert_exactly_once(settings, 500)
    status = lake_status(settings)
    assert [partition["lag"] for partition in status["partitions"]] == [0, 0, 0, 0]
    assert archive_to_end(settings).rows == 0


@pytest.mark.parametrize("is_aborted", [False, True])
def test_a_topic_that_ends_with_a_transaction_is_archived_to_its_end(settings: Settings, is_aborted: bool) -> None:
    send_in_transaction(settings, 50, is_aborted=is_aborted)
    assert archive_to_end(settings).rows == 50  # the stream reads what was aborted too
    assert [partition["lag"] for partition in lake_status(settings)["partitions"]] == [0, 0, 0, 0]
    send_in_transaction(settings, 50, first=50)
    assert archive_to_end(settings).rows == 50
    again = archive_to_end(settings)
    assert (again.rows, again.commits) == (0, 0)
    assert_exactly_once(settings, 100)


def send_in_transaction(settings: Settings, count: int, *, first: int = 0, is_aborted: bool = False) -> None:
    """Events to all partitions, and behind them the markers of the commit or the abortion."""
    topic = f"{settings.kafka.topic_prefix}interactions"
    producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, transactional_id=topic)
    with closing(producer):
        producer.init_transactions()
        producer.begin_transaction()
        for number in range(first, first + count):
            event = interaction(f"e{number}", visitor=f"v{number}")
            producer.send(topic, key=event.visitor_id.encode(), value=encode(event))
        producer.flush()
        if is_aborted:
            producer.abort_transaction()
        else:
            producer.commit_transaction()


def test_two_archivers_at_once_double_and_lose_nothing(settings: Settings, producer: Producer) -> None:
    quick, stop, done = fast(settings), Event(), []

    def run(name: str) -> None:
        done.append(archive_until(stop, quick, heartbeat_path(settings.run_dir, name)))

    threads = [Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            producer.send(100)
        wait_until(partial(has_more_rows, quick, producer.sent - 1), LIMIT_S, "all rows")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(one.rows for one in done) == producer.sent
    assert sum(one.overtaken for one in done) > 0
    assert_exactly_once(settings, producer.sent)


def test_kill_9_at_any_moment_loses_and_doubles_nothing(settings: Settings, producer: Producer) -> None:
    moments = random.Random(7)
    for _ in range(4):
        archived = lake_status(settings)["rows"]
        with archiver_process(settings) as process:
            producer.send(600)
            wait_until(partial(has_more_rows, settings, archived), LIMIT_S, "a commit")
            time.sleep(moments.random() * 0.3)
            process.kill()
    archive_to_end(settings)
    assert_exactly_once(settings, producer.sent)


def test_sigterm_commits_what_was_read_and_ends_well(settings: Settings, producer: Producer) -> None:
    heartbeat = heartbeat_path(settings.run_dir, "archiver")
    with archiver_process(settings) as process:
        wait_until(heartbeat.exists, LIMIT_S, "the heartbeat")
        producer.send(300)
        wait_until(lambda: lake_status(settings)["rows"] == 300, LIMIT_S, "all rows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert_exactly_once(settings, 300)


def with_buckets_of_a_second(settings: Settings) -> Settings:
    policies = settings.policies
    return settings.model_copy(
        update={
            "policies": type(policies)(bucket=type(policies.bucket)(period_ms=1_000, kept=8, dedup=1)),
            "batch": settings.batch.model_copy(update={"closing_grace_ms": 200, "archive_interval_ms": 100}),
        }
    )


def test_a_bucket_closes_on_an_idle_topic(settings: Settings, producer: Producer) -> None:
    short = with_buckets_of_a_second(settings)
    producer.send(10)
    lake = Lake.open(short.lake_dir, short.policies.bucket)
    with InteractionLog(short.kafka) as source:
        archiver = Archiver(lake, source, short.policies, short.batch)
        archiver.run_to_end()
        last_bucket_ms = lake_status(short)["last_bucket_ms"]

        def is_closed() -> bool:
            archiver.run_to_end()
            return bool(lake_status(short)["closed_cutoff_ms"] > last_bucket_ms)

        wait_until(is_closed, LIMIT_S, "the bucket of the last record is closed")
    assert archiver.archived.after_closing == 0


def test_history_does_not_enter_a_bucket_that_is_live_in_kafka_and_not_yet_archived(
    settings: Settings, producer: Producer, tmp_path: Path
) -> None:
    short = with_buckets_of_a_second(settings)
    before_ms = short.policies.bucket.start_of(now_ms())
    producer.send(10)
    live_to_ms = now_ms()
    wait_until(lambda: now_ms() > live_to_ms + 2_000, LIMIT_S, "the bucket of the live events to be over")
    with pytest.raises(ImportRefused, match="1 of 2 rows"):
        import_rows(short, tmp_path, before_ms - 1, live_to_ms)
    done = import_rows(short, tmp_path, before_ms - 1)
    assert (done.rows, done.is_archived_to_end) == (1, True)
    assert lake_status(short)["rows"] == 11


def import_rows(settings: Settings, folder: Path, *at_ms: int) -> Imported:
    path = folder / "history.csv"
    lines = ["visitor_id,item_id,kind,occurred_at_ms", *(f"ada,a,view,{one}" for one in at_ms)]
    path.write_text("\n".join(lines))
    return import_file(path, ColumnMapping("shop"), settings, now_ms=now_ms())


def test_a_broker_that_is_not_there_is_named(settings: Settings) -> None:
    nowhere = settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"port": 1})})
    with pytest.raises(DependencyError, match=r"127\.0\.0\.1:1"):
        archive_to_end(nowhere)
    assert "127.0.0.1:1" in lake_status(nowhere)["partitions"]
