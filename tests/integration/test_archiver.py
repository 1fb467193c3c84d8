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
from typing import Any

import pytest
from kafka import KafkaProducer

from batch.cutoff import cut_log
from batch.lake.archiver import archive_to_end, archive_until, now_ms
from batch.lake.importer import Imported, ImportRefused, import_file
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.layout import Layout
from batch.lake.mapping import ColumnMapping
from batch.lake.source import TopicLog
from batch.lake.status import lake_status
from batch.lake.table import open_table
from batch.lake.table_archiver import Archived, TableArchiver
from batch.lake.upkeep import compact_lake
from infra.processes.readiness import heartbeat_path
from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.events import encode
from tests.builders import impression, interaction
from tests.waiting import wait_until

LIMIT_S = 60
FAST = {"FIRTH_BATCH__ARCHIVE_INTERVAL_MS": "100", "FIRTH_BATCH__ARCHIVE_ROWS_MAX": "400"}

pytestmark = pytest.mark.usefixtures("topics")


class Producer:
    """Sends interactions of 50 visitors, numbered from 0, and an impression with every tenth."""

    def __init__(self, settings: Settings) -> None:
        self.sent = 0
        self._topic = f"{settings.kafka.topic_prefix}interactions"
        self._shown = f"{settings.kafka.topic_prefix}impressions"
        self._producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=5)

    def send(self, count: int) -> None:
        for number in range(self.sent, self.sent + count):
            visitor = f"v{number % 50}"
            event = interaction(f"e{number}", visitor=visitor)
            self._producer.send(self._topic, key=visitor.encode(), value=encode(event))
            if number % 10 == 0:
                shown = impression(f"s{number}", visitor=visitor)
                self._producer.send(self._shown, key=visitor.encode(), value=encode(shown))
        self._producer.flush()
        self.sent += count

    @property
    def shown(self) -> int:
        """Impressions that were sent."""
        return -(-self.sent // 10)

    def send_raw(self, key: bytes, value: bytes, *, is_impression: bool = False) -> None:
        self._producer.send(self._shown if is_impression else self._topic, key=key, value=value)
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


def rows_of(settings: Settings) -> tuple[int, int]:
    """Rows of interactions and of impressions."""
    status = lake_status(settings)
    return status["interactions"]["rows"], status["impressions"]["rows"]


def has_more_rows(settings: Settings, rows: int) -> bool:
    return rows_of(settings)[0] > rows


def lags(settings: Settings) -> list[int]:
    return [partition["lag"] for table in lake_status(settings).values() for partition in table["partitions"]]


def assert_exactly_once(settings: Settings, sent: int, shown: int) -> None:
    for layout, identity, count in ((INTERACTIONS, "event_id", sent), (IMPRESSIONS, "slate_id", shown)):
        rows = open_table(settings, layout).read(["partition", "offset", identity])
        assert rows.num_rows == count
        assert len(set(rows[identity].to_pylist())) == count
        assert len(set(zip(rows["partition"].to_pylist(), rows["offset"].to_pylist(), strict=True))) == count


def test_what_was_sent_is_archived_once_and_refused_records_only_move_the_offsets(
    settings: Settings, producer: Producer
) -> None:
    producer.send(500)
    producer.send_raw(b"ada", b"not json")
    producer.send_raw(b"eve", encode(interaction("stranger", visitor="ada")))
    producer.send_raw(b"eve", encode(impression("forged", visitor="ada")), is_impression=True)
    done = archive_to_end(settings)
    assert {table: (one.rows, one.refused) for table, one in done.items()} == {
        "interactions": (500, {"malformed": 1, "key": 1}),
        "impressions": (50, {"key": 1}),
    }
    assert_exactly_once(settings, 500, 50)
    assert lags(settings) == [0] * 8
    assert [one.rows for one in archive_to_end(settings).values()] == [0, 0]


@pytest.mark.parametrize("is_aborted", [False, True])
def test_a_topic_that_ends_with_a_transaction_is_archived_to_its_end(settings: Settings, is_aborted: bool) -> None:
    send_in_transaction(settings, 50, is_aborted=is_aborted)
    assert archive_to_end(settings)["interactions"].rows == 50  # the stream reads what was aborted too
    assert lags(settings) == [0] * 8
    send_in_transaction(settings, 50, first=50)
    assert archive_to_end(settings)["interactions"].rows == 50
    again = archive_to_end(settings)["interactions"]
    assert (again.rows, again.commits) == (0, 0)
    assert_exactly_once(settings, 100, 0)


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
    quick, stop = fast(settings), Event()
    done: list[Archived] = []

    def run(name: str) -> None:
        done.extend(archive_until(stop, quick, heartbeat_path(settings.run_dir, name)).values())

    threads = [Thread(target=run, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            producer.send(100)
        wait_until(lambda: rows_of(quick) == (producer.sent, producer.shown), LIMIT_S, "all rows")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sum(one.rows for one in done) == producer.sent + producer.shown
    assert sum(one.overtaken for one in done) > 0
    assert_exactly_once(settings, producer.sent, producer.shown)


def test_kill_9_at_any_moment_loses_and_doubles_nothing(settings: Settings, producer: Producer) -> None:
    moments = random.Random(7)
    for _ in range(4):
        archived, _ = rows_of(settings)
        with archiver_process(settings) as process:
            producer.send(600)
            wait_until(partial(has_more_rows, settings, archived), LIMIT_S, "a commit")
            time.sleep(moments.random() * 0.3)
            process.kill()
    archive_to_end(settings)
    assert_exactly_once(settings, producer.sent, producer.shown)


def test_joining_files_beside_an_archiver_that_is_killed_loses_and_doubles_nothing(
    settings: Settings, producer: Producer
) -> None:
    joined = 0
    for _ in range(2):
        archived, _ = rows_of(settings)
        with archiver_process(settings) as process:
            for _ in range(5):
                producer.send(300)
                joined += compact_lake(settings, open_buckets=True)["interactions"]["removed"]
            wait_until(partial(has_more_rows, settings, archived), LIMIT_S, "a commit")
            process.kill()
    archive_to_end(settings)
    joined += compact_lake(settings, open_buckets=True)["interactions"]["removed"]
    assert joined > 0
    assert_exactly_once(settings, producer.sent, producer.shown)


def test_sigterm_commits_what_was_read_and_ends_well(settings: Settings, producer: Producer) -> None:
    heartbeat = heartbeat_path(settings.run_dir, "archiver")
    with archiver_process(settings) as process:
        wait_until(heartbeat.exists, LIMIT_S, "the heartbeat")
        producer.send(300)
        wait_until(lambda: rows_of(settings) == (300, 30), LIMIT_S, "all rows")
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
    assert_exactly_once(settings, 300, 30)


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
    lake = open_table(short, INTERACTIONS)
    with TopicLog(short.kafka, INTERACTIONS.topic) as source:
        archiver = TableArchiver(lake, INTERACTIONS, source, short.policies, short.batch)
        archiver.run_to_end()
        last_bucket_ms = lake_status(short)["interactions"]["last_bucket_ms"]

        def is_closed() -> bool:
            archiver.run_to_end()
            return bool(lake_status(short)["interactions"]["closed_cutoff_ms"] > last_bucket_ms)

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
    assert rows_of(short)[0] == 11


def import_rows(settings: Settings, folder: Path, *at_ms: int) -> Imported:
    path = folder / "history.csv"
    lines = ["visitor_id,item_id,kind,occurred_at_ms", *(f"ada,a,view,{one}" for one in at_ms)]
    path.write_text("\n".join(lines))
    return import_file(path, ColumnMapping("shop"), settings, now_ms=now_ms())


def test_a_broker_that_is_not_there_is_named(settings: Settings) -> None:
    nowhere = without_broker(settings)
    with pytest.raises(DependencyError, match=r"127\.0\.0\.1:1"):
        archive_to_end(nowhere)
    assert all("127.0.0.1:1" in table["partitions"] for table in lake_status(nowhere).values())


def test_batch_cuts_only_where_both_tables_are_closed(settings: Settings, producer: Producer) -> None:
    short = with_buckets_of_a_second(settings)
    producer.send(10)
    sent_ms = now_ms()
    wait_until(lambda: now_ms() > sent_ms + 2_000, LIMIT_S, "the bucket of what was sent to be over")
    archive_one(short, INTERACTIONS)
    assert cut_log(without_broker(short)).impressions == 0  # no archiver has ever looked at impressions
    cut = cut_log(short)
    assert cut.cutoff_ms > sent_ms
    assert (cut.records, cut.impressions) == (10, 1)

    producer.send(10)
    sent_ms = now_ms()
    wait_until(lambda: now_ms() > sent_ms + 2_000, LIMIT_S, "the bucket of what was sent to be over")
    archive_one(short, INTERACTIONS)
    held_up = cut_log(without_broker(short))
    assert (held_up.records, held_up.impressions) == (10, 1)
    cut = cut_log(short)
    assert (cut.records, cut.impressions) == (20, 2)


def archive_one(settings: Settings, layout: Layout[Any]) -> None:
    """Archive one table only."""
    with TopicLog(settings.kafka, layout.topic) as source:
        TableArchiver(open_table(settings, layout), layout, source, settings.policies, settings.batch).run_to_end()


def without_broker(settings: Settings) -> Settings:
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update={"port": 1})})
