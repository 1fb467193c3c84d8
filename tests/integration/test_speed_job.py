"""The Flink job on a real Kafka, killed with -9 in mid-stream: its rows equal the naive reference at their offsets.

One log is fed in parts around the kill, and all tests look at what came out of it.
"""

from __future__ import annotations

import random
import urllib.request
from pathlib import Path

import pytest

from infra.processes import programs
from infra.processes.launch import Child, launch
from infra.processes.ports import free_ports
from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.errors import Reason
from schemas.topics import INTERACTIONS, VISITOR_STATES
from tests.integration.speed_log import LIMIT_S, POLICIES, Outcome, collect, feed, generated, reading
from tests.integration.speed_rows import (
    last_item_rows_are_right,
    last_visitor_rows_include_the_whole_log,
    letters_are_right,
    visitor_rows_are_right,
)
from tests.monitored import FLINK_METRICS
from tests.waiting import wait_until

EVENTS = 4_000


@pytest.fixture(scope="module")
def outcome(kafka: KafkaSettings, module_settings: Settings) -> Outcome:
    """Feed half of the log, kill the job behind a checkpoint, feed the rest, start it again and let it catch up."""
    flink = module_settings.flink.model_copy(update={"checkpoint_interval_ms": 500})
    metrics = module_settings.metrics.model_copy(update={"flink_port": next(free_ports(random.Random()))})
    settings = module_settings.model_copy(update={"flink": flink, "metrics": metrics, "policies": POLICIES})
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
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics.flink_port}/metrics") as answer:
            outcome.metrics = answer.read().decode()
    finally:
        job.stop()
    return outcome


def start(settings: Settings) -> Child:
    return launch(programs.speed(settings))


def checkpoints(settings: Settings) -> list[Path]:
    return list((settings.state_dir / "flink" / "checkpoints").glob("*/chk-*/_metadata"))


def test_the_second_start_resumed_from_a_checkpoint(outcome: Outcome) -> None:
    assert outcome.resumed


def test_flink_shows_every_metric_that_boards_and_alerts_ask_for(outcome: Outcome) -> None:
    shown = {line.split("{")[0] for line in outcome.metrics.splitlines() if not line.startswith("#")}
    assert shown >= FLINK_METRICS


def test_every_visitor_row_equals_the_reference_at_its_offsets(outcome: Outcome) -> None:
    visitor_rows_are_right(outcome)


def test_the_last_row_of_a_visitor_includes_every_screened_record_duplicates_too(outcome: Outcome) -> None:
    last_visitor_rows_include_the_whole_log(outcome)


def test_behind_a_key_leaves_fewer_rows_than_it_has_records(outcome: Outcome) -> None:
    rows = sum(len(rows) for rows in outcome.visitor_rows.values())
    assert len(outcome.visitor_rows) <= rows < len(outcome.log)


def test_the_last_row_of_every_item_equals_the_reference_of_the_whole_log(outcome: Outcome) -> None:
    last_item_rows_are_right(outcome)


def test_every_refused_record_is_a_dead_letter_with_its_reason_and_place(outcome: Outcome) -> None:
    letters_are_right(outcome)
    assert set(outcome.refused.values()) == set(Reason)


def test_a_dead_letter_names_its_topic_and_is_keyed_by_its_place(outcome: Outcome) -> None:
    for key, letter in outcome.letters:
        assert key == f"{letter.partition}:{letter.offset}".encode()
        assert letter.topic.endswith(INTERACTIONS.name)
