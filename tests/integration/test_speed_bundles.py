"""Hops on their way from visitors to items: what a bundle holds is bounded, in front of a barrier it is let go, and a
kill in between loses none.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from domain.rows import Row, decode_row
from infra.processes import programs
from infra.processes.launch import Child, Command, launch
from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.errors import ConfigurationError
from schemas.events import encode
from schemas.topics import ITEM_STATES
from tests.builders import interaction
from tests.integration.speed_log import LIMIT_S, feed, reading
from tests.waiting import wait_until

BUNDLE_HOPS_MAX = 512
HOUR_MS = 3_600_000
ITEM_PERIOD_MAX_MS = 60_000


def clicks(count: int, *, items: int = 1, since: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Clicks of many visitors, on one item after the other."""
    now_ms = time.time_ns() // 1_000_000
    for number in range(since, since + count):
        event = interaction(
            f"e{number}", visitor=f"visitor-{number % 97}", item=f"item-{number % items}", kind="click", at_ms=now_ms
        )
        yield event.visitor_id.encode(), encode(event)


@contextmanager
def running(settings: Settings, **told: Any) -> Iterator[Child]:
    """The job, told what these settings say and more, which ends with the block as if the machine had failed."""
    ensure_topics(settings.kafka)
    command = programs.flink_job("speed", settings, programs.speed_job(settings) | told)
    wait_until(lambda: is_free(command), LIMIT_S, "the port, which a killed JVM gives back when all its memory is gone")
    job = launch(command)
    try:
        yield job
    finally:
        job.kill()


def is_free(command: Command) -> bool:
    try:
        for port in command.ports:
            port.refuse_if_taken()
    except ConfigurationError:
        return False
    return True


class Rows:
    """All rows of the items, in their order."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.of: dict[str, list[Row]] = {}

    def read(self) -> None:
        self.of = {}
        with reading(self._settings, ITEM_STATES.name) as consumer:
            for record in consumer:
                self.of.setdefault(record.key.decode(), []).append(decode_row(record.value))

    def counted(self) -> Counter[str]:
        """By item, how many clicks its newest row counts."""
        self.read()
        return Counter({item: clicks_in(rows[-1]) for item, rows in self.of.items()})


def has_checkpoint(settings: Settings) -> bool:
    return any((settings.flink_dir / "checkpoints").glob("*/chk-*/_metadata"))


def clicks_in(row: Row) -> int:
    return sum(bucket.states["counts"].get("click", 0) for bucket in row.buckets)


def test_a_bundle_that_is_full_leaves_though_neither_its_time_nor_a_checkpoint_has_come(
    kafka: KafkaSettings, settings: Settings
) -> None:
    rows = Rows(settings)
    with running(settings, item_period_ms=ITEM_PERIOD_MAX_MS, checkpoint_interval_ms=HOUR_MS):
        wait_until(lambda: has_checkpoint(settings), LIMIT_S, "the one checkpoint with which a job begins")
        feed(settings, clicks(2 * BUNDLE_HOPS_MAX + 100))
        wait_until(lambda: rows.counted()["item-0"] >= 2 * BUNDLE_HOPS_MAX, LIMIT_S, "the full bundles")
    assert [clicks_in(row) for row in rows.of["item-0"]] == [BUNDLE_HOPS_MAX, 2 * BUNDLE_HOPS_MAX]


def test_without_a_period_every_hop_is_a_row(kafka: KafkaSettings, settings: Settings) -> None:
    ensure_topics(settings.kafka)
    feed(settings, clicks(60, items=3))
    rows = Rows(settings)
    with running(settings, item_period_ms=0, checkpoint_interval_ms=HOUR_MS):
        wait_until(lambda: sum(rows.counted().values()) == 60, LIMIT_S, "all hops")
    assert {item: [clicks_in(row) for row in found] for item, found in rows.of.items()} == {
        f"item-{number}": list(range(1, 21)) for number in range(3)
    }


def test_within_a_period_an_item_has_one_row(kafka: KafkaSettings, settings: Settings) -> None:
    rows = Rows(settings)
    with running(settings, item_period_ms=1_000, checkpoint_interval_ms=HOUR_MS):
        feed(settings, clicks(1))
        wait_until(lambda: sum(rows.counted().values()) == 1, LIMIT_S, "the job to run")
        feed(settings, clicks(200, since=1))
        wait_until(lambda: sum(rows.counted().values()) == 201, LIMIT_S, "all hops")
    assert [clicks_in(row) for row in rows.of["item-0"]][-1] == 201
    assert len(rows.of["item-0"]) <= 4


def test_a_checkpoint_has_every_hop_that_came_before_it_and_a_kill_loses_none(
    kafka: KafkaSettings, settings: Settings
) -> None:
    """The period is so long that only barriers let bundles go: a kill comes while others wait."""
    told = {"item_period_ms": ITEM_PERIOD_MAX_MS, "checkpoint_interval_ms": 1_000}
    rows, sent = Rows(settings), 0
    for wait_s in (0.1, 0.6):
        with running(settings, **told):
            feed(settings, clicks(400, items=40, since=sent))
            wait_until(lambda: sum(rows.counted().values()) > sent, LIMIT_S, "rows of this run")  # noqa: B023
            feed(settings, clicks(400, items=40, since=sent + 400))
            sent += 800
            time.sleep(wait_s)
    with running(settings, **told):
        wait_until(lambda: sum(rows.counted().values()) >= sent, LIMIT_S, "all hops")
    assert rows.counted() == Counter({f"item-{number}": sent // 40 for number in range(40)})
