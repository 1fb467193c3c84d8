"""The Flink job with buckets of a second: its states end and leave tombstones, and Flink counts what it takes."""

from __future__ import annotations

import json
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer

from domain.policies import DAY_MS, BucketPolicy, Policies
from domain.rows import Row, decode_row
from infra.processes import programs
from infra.processes.launch import launch
from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.events import InteractionEvent, encode
from schemas.topics import INTERACTIONS, ITEM_STATES, VISITOR_STATES
from speed.tombstones import HEADER, decode_offsets
from tests.builders import interaction
from tests.integration.speed_log import LIMIT_S, reading
from tests.waiting import wait_until

POLICIES = Policies(bucket=BucketPolicy(period_ms=1_000, kept=2, dedup=1))
COUNTED = ("numAdmittedEvents", "numLateEvents", "numDuplicateEvents", "reason.malformed.numRejectedEvents")


@dataclass
class World:
    """A running job, and what its changelogs have said of each key, in their order; None is a tombstone."""

    settings: Settings
    producer: KafkaProducer
    consumer: KafkaConsumer
    rows: dict[str, list[Row | None]] = field(default_factory=dict)
    removed_through: dict[str, dict[int, int]] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def send(self, event: InteractionEvent, value: bytes | None = None) -> None:
        topic = f"{self.settings.kafka.topic_prefix}{INTERACTIONS.name}"
        self.producer.send(topic, key=event.visitor_id.encode(), value=value or encode(event))
        self.producer.flush()

    def read(self) -> None:
        for records in self.consumer.poll(timeout_ms=200).values():
            for record in records:
                key = record.key.decode()
                self.rows.setdefault(key, []).append(None if record.value is None else decode_row(record.value))
                if record.value is None:
                    self.removed_through[key] = decode_offsets(dict(record.headers)[HEADER])

    def knows(self, key: str, interactions: int) -> bool:
        """Whether the newest row of a key counts so many interactions."""
        self.read()
        row = self.rows.get(key, [None])[-1]
        return row is not None and counted(row) == interactions

    def has_forgotten(self, *keys: str) -> bool:
        """Whether there is a tombstone of each key; the stream must go on meanwhile, its clock is what counts."""
        self.send(click("bob", item="pen"))
        self.read()
        return all(None in self.rows[key] for key in keys)


def counted(row: Row) -> int:
    """How many interactions the buckets of a visitor's or an item's row count."""
    states = [bucket.states for bucket in row.buckets]
    return sum(state.get("interactions", 0) + sum(state.get("counts", {}).values()) for state in states)


def click(visitor: str, event_id: str = "", *, item: str = "book", ago_ms: int = 0) -> InteractionEvent:
    now_ms = time.time_ns() // 1_000_000
    return interaction(event_id or f"e{time.time_ns()}", visitor=visitor, item=item, at_ms=now_ms - ago_ms)


@pytest.fixture(scope="module")
def world(kafka: KafkaSettings, module_settings: Settings) -> World:
    """Ada clicks, then only Bob does until nothing is known of her any more, and then she is back."""
    settings = module_settings.model_copy(update={"policies": POLICIES})
    ensure_topics(settings.kafka)
    job = launch(programs.speed(settings))
    try:
        with (
            closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap)) as producer,
            reading(settings, VISITOR_STATES.name, ITEM_STATES.name) as consumer,
        ):
            world = World(settings, producer, consumer)
            live_and_come_back(world)
    finally:
        job.stop()
    return world


def live_and_come_back(world: World) -> None:
    world.send(click("bob", item="pen"))
    wait_until(lambda: world.knows("bob", 1), LIMIT_S, "the job to run")
    world.send(click("ada", "e1"))
    world.send(click("ada", "e1"))
    world.send(click("ada", "e2", ago_ms=2 * DAY_MS))
    world.send(click("ada"), b"{")
    abort(world.settings, click("ada", "e3"))
    wait_until(lambda: world.knows("ada", 3), LIMIT_S, "Ada's rows")
    world.counters = wait_until(lambda: counters(world.settings), LIMIT_S, "what Flink has counted")
    wait_until(lambda: world.has_forgotten("ada", "book"), LIMIT_S, "the tombstones")
    world.send(click("ada", "e4"))
    wait_until(lambda: world.knows("ada", 1) and world.knows("book", 1), LIMIT_S, "Ada's return")


def abort(settings: Settings, event: InteractionEvent) -> None:
    """Send an event in a transaction that is aborted."""
    topic = f"{settings.kafka.topic_prefix}{INTERACTIONS.name}"
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, transactional_id=topic)) as producer:
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(topic, key=event.visitor_id.encode(), value=encode(event))
        producer.flush()
        producer.abort_transaction()


def counters(settings: Settings) -> dict[str, int]:
    """The visitor operator's counters as Flink's REST shows them, summed over its subtasks; empty while one lags."""
    (job,) = rest(settings, "/jobs")["jobs"]
    vertices = rest(settings, f"/jobs/{job['id']}")["vertices"]
    (visitor,) = [vertex["id"] for vertex in vertices if "visitor" in vertex["name"].split(" -> ")[0]]
    names = ",".join(f"visitor.{name}" for name in COUNTED)
    found = rest(settings, f"/jobs/{job['id']}/vertices/{visitor}/subtasks/metrics?get={names}&agg=sum")
    counts = {metric["id"].removeprefix("visitor."): int(metric["sum"]) for metric in found}
    return counts if counts.get("numAdmittedEvents", 0) >= 4 else {}


def rest(settings: Settings, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.flink.rest_port}{path}", timeout=10) as answer:
        return json.load(answer)


def test_a_state_that_is_past_its_end_leaves_a_tombstone_with_the_offsets_of_its_last_row(world: World) -> None:
    for key in ("ada", "book"):
        rows = world.rows[key]
        last = rows[rows.index(None) - 1]
        assert last is not None
        assert world.removed_through[key] == last.offsets


def test_a_key_begins_anew_after_its_tombstone(world: World) -> None:
    for key, visits in (("ada", 1), ("book", 0)):
        rows = world.rows[key]
        first = rows[rows.index(None) + 1]
        assert first is not None
        assert (first.dropped_through_ms, len(first.buckets), len(first.visits)) == (0, 1, visits)
        assert counted(first) == 1


def test_flink_counts_admitted_late_duplicate_and_rejected_events(world: World) -> None:
    bobs = world.counters["numAdmittedEvents"] - 3
    assert bobs >= 1
    assert world.counters == dict(zip(COUNTED, (3 + bobs, 1, 1, 1), strict=True))


def test_a_late_event_still_counts_in_its_bucket(world: World) -> None:
    before = [row for row in world.rows["ada"][: world.rows["ada"].index(None)] if row is not None]
    assert counted(before[-1]) == 3
    assert len(before[-1].visits) == 2


def test_the_job_reads_what_a_producer_aborted_as_the_archiver_does(world: World) -> None:
    """The archiver's half is `test_a_topic_that_ends_with_a_transaction_is_archived_to_its_end`."""
    seen = [visit.event_id for row in world.rows["ada"] if row is not None for visit in row.visits]
    assert "e3" in seen
