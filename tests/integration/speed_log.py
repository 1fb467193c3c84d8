"""What the test of the speed job feeds, and how it collects what the job makes of it."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaConsumer, KafkaProducer

from domain import reference
from domain.admission import screen
from domain.facts import Stamp
from domain.policies import AdmissionPolicy, BucketPolicy, Policies
from domain.reference import LogRecord
from domain.rows import Row, decode_row
from infra.settings import Settings
from schemas.errors import Reason, RejectedEvent
from schemas.events import KINDS, DeadLetter, InteractionContext, decode, encode
from schemas.topics import DEAD_LETTERS, INTERACTIONS, ITEM_STATES, VISITOR_STATES
from tests.builders import interaction
from tests.waiting import wait_until

POLICIES = Policies(bucket=BucketPolicy(period_ms=10_000, kept=64, dedup=1), admission=AdmissionPolicy(admitted_max=60))
LIMIT_S = 150.0
POISON: tuple[tuple[bytes | None, bytes | None], ...] = (
    (b"ada", b"{"),
    (b"ada", b"\xff\xfe"),
    (b"ada", None),
    (b"ada", b""),
    (b"ada", b'{"event_id": "e"}'),
    (b"ada", b"x" * 900_000),
    (b"k" * 900_000, b"{}"),
    (b"\xff\xfe", encode(interaction())),
    (b"a\x00b", encode(interaction())),
    (None, encode(interaction())),
    (b"bob", encode(interaction())),
)


@dataclass
class Outcome:
    """The log as Kafka took it, and everything that the job made of it."""

    log: list[LogRecord] = field(default_factory=list)
    refused: dict[tuple[int, int], Reason] = field(default_factory=dict)
    visitor_rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    item_rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    letters: list[tuple[bytes, DeadLetter]] = field(default_factory=list)
    resumed: bool = False
    metrics: str = ""


def generated(generator: random.Random, count: int) -> Iterator[tuple[bytes | None, bytes | None]]:
    """Keys and values: disorder, 5 % duplicates, a robot, silent and future events, odd names, and poison between."""
    sent: list[tuple[bytes | None, bytes | None]] = []
    for number in range(count):
        if number % 250 == 0:
            yield from POISON
        if sent and generator.random() < 0.05:
            yield generator.choice(sent[-200:])
        visitor = "robot" if generator.random() < 0.1 else f"visitor-{generator.randrange(150)}"
        visitor = generator.choice((visitor, visitor, visitor, f"{visitor}é😀"))
        ahead_ms = 600_000 if generator.random() < 0.01 else -generator.choice((0, 3, 5_000, 3_600_000, 90_000_000))
        event = interaction(
            f"e{generator.getrandbits(48):x}",
            visitor=visitor,
            item=f"item-{int(generator.expovariate(0.05))}",
            kind=generator.choice(KINDS),
            at_ms=int(time.time() * 1000) + ahead_ms,
            value=generator.choice((None, 2.5, 1e-7, -19.99)),
            session_id=generator.choice((None, None, None, "s1", "s2")),
            personalise=generator.random() > 0.05,
            context=InteractionContext(
                categories=tuple(generator.choices(("crime", "drama", "éa"), k=generator.randrange(3))),
                utc_offset_min=generator.choice((0, -840, 345)),
            ),
        )
        sent.append((visitor.encode(), encode(event)))
        yield sent[-1]


def feed(settings: Settings, records: Iterator[tuple[bytes | None, bytes | None]]) -> None:
    topic = f"{settings.kafka.topic_prefix}{INTERACTIONS.name}"
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20)) as producer:
        for key, value in records:
            producer.send(topic, key=key, value=value)
        producer.flush()


@contextmanager
def reading(settings: Settings, *topics: str) -> Iterator[KafkaConsumer]:
    """A consumer of all of these topics from their beginning."""
    names = [f"{settings.kafka.topic_prefix}{topic}" for topic in topics]
    with closing(
        KafkaConsumer(
            *names, bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=2_000
        )
    ) as consumer:
        yield consumer


def collect(settings: Settings) -> Outcome:
    """Read the log back, then the job's topics until they have caught up with it."""
    outcome = Outcome()
    with reading(settings, INTERACTIONS.name) as consumer:
        for record in consumer:
            take_log_record(outcome, record)
    visitors = last_offsets(outcome)
    floods, facts = flooded(outcome), reference.facts_by_key("item", outcome.log, POLICIES)
    outcome.refused |= floods
    with reading(settings, VISITOR_STATES.name, ITEM_STATES.name, DEAD_LETTERS.name) as consumer:
        wait_until(lambda: caught_up(outcome, consumer, visitors, set(facts)), LIMIT_S, "the job to catch up")
    return outcome


def take_log_record(outcome: Outcome, record: Any) -> None:
    stamp = Stamp(record.timestamp, record.partition, record.offset)
    try:
        key = (record.key or b"").decode()
    except UnicodeDecodeError:
        key = ""
    try:
        event = screen(key, record.value or b"", stamp, POLICIES.admission)
    except RejectedEvent as rejection:
        outcome.refused[stamp.partition, stamp.offset] = rejection.reason
    else:
        outcome.log.append(LogRecord(event, stamp))


def last_offsets(outcome: Outcome) -> dict[str, dict[int, int]]:
    """Per visitor the newest screened offset of each partition."""
    newest: dict[str, dict[int, int]] = defaultdict(dict)
    for record in outcome.log:
        offsets = newest[record.event.visitor_id]
        offsets[record.stamp.partition] = max(offsets.get(record.stamp.partition, -1), record.stamp.offset)
    return newest


def flooded(outcome: Outcome) -> dict[tuple[int, int], Reason]:
    """The screened records that do not count though they are nobody's duplicate."""
    admitted = reference.admitted(outcome.log, POLICIES)
    offsets = {(record.stamp.partition, record.stamp.offset) for record in admitted}
    buckets: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for record in admitted:
        name = (record.event.visitor_id, record.event.event_id)
        buckets[name].append((record.stamp.offset, POLICIES.bucket.start_of(record.stamp.received_at_ms)))
    found = {}
    for record in outcome.log:
        place = (record.stamp.partition, record.stamp.offset)
        start_ms = POLICIES.bucket.start_of(record.stamp.received_at_ms)
        oldest_ms = start_ms - POLICIES.bucket.dedup * POLICIES.bucket.period_ms
        earlier = buckets[record.event.visitor_id, record.event.event_id]
        is_duplicate = any(
            offset < record.stamp.offset and oldest_ms <= bucket <= start_ms for offset, bucket in earlier
        )
        if place not in offsets and not is_duplicate:
            found[place] = Reason.FLOOD
    return found


def caught_up(outcome: Outcome, consumer: KafkaConsumer, visitors: dict[str, dict[int, int]], items: set[str]) -> bool:
    """Take what has come; whether it is all that must come."""
    for records in consumer.poll(timeout_ms=500).values():
        for record in records:
            if record.topic.endswith(DEAD_LETTERS.name):
                outcome.letters.append((record.key, decode(DeadLetter, record.value)))
            else:
                rows = outcome.visitor_rows if record.topic.endswith(VISITOR_STATES.name) else outcome.item_rows
                rows[record.key.decode()].append(decode_row(record.value))
    return (
        all(last(outcome.visitor_rows[visitor]) == offsets for visitor, offsets in visitors.items())
        and {(letter.partition, letter.offset) for _, letter in outcome.letters} >= outcome.refused.keys()
        and items <= outcome.item_rows.keys()
        and sum(total(outcome.item_rows[item]) for item in items) >= len(reference.admitted(outcome.log, POLICIES))
    )


def last(rows: list[Row]) -> dict[int, int]:
    """The offsets of the last row: a job that was killed may have written newer ones than the next one has come to."""
    return rows[-1].offsets if rows else {}


def newest(rows: list[Row]) -> dict[int, int]:
    """The newest offset of each partition over all rows of a key."""
    merged: dict[int, int] = {}
    for row in rows:
        for partition, offset in row.offsets.items():
            merged[partition] = max(merged.get(partition, -1), offset)
    return merged


def total(rows: list[Row]) -> int:
    """How many interactions the largest row of an item counts."""
    return max(sum(sum(bucket.states["counts"].values()) for bucket in row.buckets) for row in rows)
