"""The Flink job on a real Kafka, killed with -9 in mid-stream: its rows equal the naive reference at their offsets.

One log is fed in parts around the kill, and all tests look at what came out of it.
"""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from domain import reference
from domain.features import Entity
from domain.merge import merge_cells, stream_cells
from domain.reference import LogRecord
from domain.rows import Row
from infra.processes import programs
from infra.processes.launch import Child, launch
from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.errors import Reason
from schemas.topics import INTERACTIONS, VISITOR_STATES
from tests.integration.speed_log import LIMIT_S, POLICIES, Outcome, collect, feed, generated, newest, reading
from tests.waiting import wait_until

EVENTS = 4_000
PROVENANCE = {"as_of_ms", "covered_to_ms", "history_gap", "incomplete"}


@pytest.fixture(scope="module")
def outcome(kafka: KafkaSettings, module_settings: Settings) -> Outcome:
    """Feed half of the log, kill the job behind a checkpoint, feed the rest, start it again and let it catch up."""
    flink = module_settings.flink.model_copy(update={"checkpoint_interval_ms": 500})
    settings = module_settings.model_copy(update={"flink": flink, "policies": POLICIES})
    ensure_topics(settings.kafka)
    generator = random.Random(7)
    feed(settings, generated(generator, EVENTS // 2))
    job = start(settings)
    try:
        with reading(settings, VISITOR_STATES.name) as rows:
            wait_until(lambda: rows.poll(timeout_ms=200), LIMIT_S, "first rows")
        wait_until(lambda: checkpoints(settings), LIMIT_S, "a checkpoint")
        feed(settings, generated(generator, EVENTS // 4))
    finally:
        job.kill()
    feed(settings, generated(generator, EVENTS // 4))
    job = start(settings)
    try:
        outcome = collect(settings)
        outcome.resumed = f'"resume_from": "{settings.state_dir}' in job.command.log_path.read_text()
    finally:
        job.stop()
    return outcome


def start(settings: Settings) -> Child:
    return launch(programs.speed(settings))


def checkpoints(settings: Settings) -> list[Path]:
    return list((settings.state_dir / "flink" / "checkpoints").glob("*/chk-*/_metadata"))


def included(log: list[LogRecord], row: Row) -> list[LogRecord]:
    """The part of the log that a row says it includes."""
    return [record for record in log if record.stamp.offset <= row.offsets.get(record.stamp.partition, -1)]


def stream_says(entity: Entity, row: Row) -> dict[str, Any]:
    """The finished features of a row without any history."""
    merged = merge_cells(entity, None, stream_cells(entity, row))
    return plain({name: value for name, value in merged.items() if name not in PROVENANCE})


def reference_says(entity: Entity, key: str, log: list[LogRecord], as_of_ms: int) -> dict[str, Any]:
    facts = reference.facts_by_key(entity, log, POLICIES).get(key, [])
    return plain(dict(reference.merged_values(entity, facts, as_of_ms, POLICIES)))


def plain(cells: dict[str, Any]) -> dict[str, Any]:
    """Lists for tuples."""
    built: dict[str, Any] = msgspec.to_builtins(cells)
    return built


def by_visitor(outcome: Outcome) -> dict[str, list[LogRecord]]:
    logs: dict[str, list[LogRecord]] = defaultdict(list)
    for record in outcome.log:
        logs[record.event.visitor_id].append(record)
    return logs


def test_the_second_start_resumed_from_a_checkpoint(outcome: Outcome) -> None:
    assert outcome.resumed


def test_every_visitor_row_equals_the_reference_at_its_offsets(outcome: Outcome) -> None:
    logs = by_visitor(outcome)
    assert outcome.visitor_rows.keys() == logs.keys()
    for visitor, rows in outcome.visitor_rows.items():
        for row in {tuple(row.offsets.items()): row for row in rows[-10:]}.values():
            log = included(logs[visitor], row)
            assert stream_says("visitor", row) == reference_says("visitor", visitor, log, row.received_at_ms), visitor
            facts = reference.facts_by_key("visitor", log, POLICIES).get(visitor, [])
            assert tuple(row.visits) == reference.timeline(facts, POLICIES).visits, visitor


def test_the_last_row_of_a_visitor_includes_every_screened_record_duplicates_too(outcome: Outcome) -> None:
    for visitor, log in by_visitor(outcome).items():
        partition, offset = max((record.stamp.partition, record.stamp.offset) for record in log)
        assert outcome.visitor_rows[visitor][-1].offsets == {partition: offset}, visitor


def test_behind_a_key_leaves_fewer_rows_than_it_has_records(outcome: Outcome) -> None:
    rows = sum(len(rows) for rows in outcome.visitor_rows.values())
    assert len(outcome.visitor_rows) <= rows < len(outcome.log)


def test_the_last_row_of_every_item_equals_the_reference_of_the_whole_log(outcome: Outcome) -> None:
    facts = reference.facts_by_key("item", outcome.log, POLICIES)
    assert outcome.item_rows.keys() == facts.keys()
    for item, rows in outcome.item_rows.items():
        row = next(row for row in reversed(rows) if row.offsets == newest(rows))
        expected = reference.merged_values("item", facts[item], row.received_at_ms, POLICIES)
        assert stream_says("item", row) == plain(dict(expected)), item


def test_every_refused_record_is_a_dead_letter_with_its_reason_and_place(outcome: Outcome) -> None:
    assert {(letter.partition, letter.offset): letter.reason for _, letter in outcome.letters} == outcome.refused
    assert set(outcome.refused.values()) == set(Reason)


def test_a_dead_letter_names_its_topic_and_is_keyed_by_its_place(outcome: Outcome) -> None:
    for key, letter in outcome.letters:
        assert key == f"{letter.partition}:{letter.offset}".encode()
        assert letter.topic.endswith(INTERACTIONS.name)
