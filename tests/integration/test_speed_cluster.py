"""The job on TaskManagers of its own with RocksDB: hurt, rescaled, moved to another state backend, and nothing is lost.

One log is fed in parts; three runs of the job take it, each with another cluster, and all tests look at what came out.
"""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.processes import programs
from infra.processes.identity import session_members
from infra.processes.launch import Child, launch
from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.topics import VISITOR_STATES
from speed.commands.flink import FlinkClient
from speed.commands.savepoint import take
from tests.integration.speed_log import LIMIT_S, POLICIES, Outcome, collect, feed, generated, reading
from tests.integration.speed_rows import (
    last_item_rows_are_right,
    last_visitor_rows_include_the_whole_log,
    letters_are_right,
    visitor_rows_are_right,
)
from tests.waiting import wait_until

PART = 700
GONE_LIMIT_S = 20.0


@dataclass
class Story:
    """What was seen on the way, and the outcome at its end."""

    outcome: Outcome
    log: str
    places: dict[str, set[str]]
    rescaled_from: str
    savepoint: Path
    stopped_cleanly: bool
    left_after_stop: list[int]
    left_after_kill: list[int]
    left_on_disk: list[Path]


@pytest.fixture(scope="module")
def story(kafka: KafkaSettings, module_settings: Settings) -> Story:
    """Three runs: two processes, of which one is killed; parallelism 2, killed whole; hashmap in one process."""
    settings = told(module_settings, state_backend="rocksdb", taskmanagers=2)
    ensure_topics(settings.kafka)
    generator = random.Random(5)

    feed(settings, generated(generator, PART))
    first = launch(programs.speed(settings))
    try:
        wait_for_rows(settings)
        wait_until(lambda: checkpoints_of_the_job(settings) > 1, LIMIT_S, "an incremental checkpoint")
        places = where_it_runs(settings)
        feed(settings, generated(generator, PART))
        kill_one_of(task_managers(first))
        feed(settings, generated(generator, PART))
        wait_until(lambda: is_back(first), LIMIT_S, "the job to recover")
        made = checkpoints_of_the_job(settings)
        wait_until(lambda: checkpoints_of_the_job(settings) > made + 1, LIMIT_S, "a checkpoint after the recovery")
    finally:
        stopped_cleanly = first.stop()
    left_after_stop = living(first)
    left_on_disk = list((settings.flink_dir / "working").iterdir())

    wider = told(settings, parallelism=2)
    second = launch(programs.speed(wider))
    try:
        second.wait_ready()
        feed(wider, generated(generator, PART))
        savepoint = take(FlinkClient(wider.flink.rest_port), wider, limit_s=LIMIT_S)
        feed(wider, generated(generator, PART))
        os.kill(second.pid, signal.SIGKILL)
        wait_until(lambda: not living(second), GONE_LIMIT_S, "the processes of a killed job to end")
    finally:
        left_after_kill = living(second)
        second.kill()

    third = launch(programs.speed(told(settings, state_backend="hashmap", taskmanagers=0)))
    try:
        outcome = collect(settings)
    finally:
        third.stop()
    log = third.command.log_path.read_text()
    rescaled_from = log.split('"resume_from": ')[2].partition(",")[0].strip('"')
    return Story(
        outcome, log, places, rescaled_from, savepoint, stopped_cleanly, left_after_stop, left_after_kill, left_on_disk
    )


def told(settings: Settings, **flink: Any) -> Settings:
    fast = {"checkpoint_interval_ms": 500, "heap_mb": 384, "managed_memory_mb": 128}
    return settings.model_copy(update={"flink": settings.flink.model_copy(update=fast | flink), "policies": POLICIES})


def wait_for_rows(settings: Settings) -> None:
    with reading(settings, VISITOR_STATES.name) as rows:
        wait_until(lambda: rows.poll(timeout_ms=200), LIMIT_S, "first rows")


def living(job: Child) -> list[int]:
    return [process.pid for process in session_members(job.identity)]


def task_managers(job: Child) -> list[psutil.Process]:
    return [
        process
        for process in session_members(job.identity)
        if any("TaskManagerRunner" in one for one in process.cmdline())
    ]


def kill_one_of(processes: list[psutil.Process]) -> None:
    assert len(processes) == 2
    processes[0].kill()


def is_back(job: Child) -> bool:
    return len(task_managers(job)) == 2 and job.is_ready()


def checkpoints_of_the_job(settings: Settings) -> int:
    flink = FlinkClient(settings.flink.rest_port)
    return int(flink.ask("GET", f"/jobs/{flink.job().id}/checkpoints")["counts"]["completed"])


def where_it_runs(settings: Settings) -> dict[str, set[str]]:
    """Per keyed operator the TaskManagers on which its subtasks are."""
    flink = FlinkClient(settings.flink.rest_port)
    job = flink.job().id
    found = {}
    for vertex in flink.ask("GET", f"/jobs/{job}")["vertices"]:
        subtasks = flink.ask("GET", f"/jobs/{job}/vertices/{vertex['id']}")["subtasks"]
        found[vertex["name"].split(" ")[0]] = {subtask["taskmanager-id"] for subtask in subtasks}
    return found


def test_visitors_and_items_run_in_processes_of_their_own(story: Story) -> None:
    (visitor,) = [places for name, places in story.places.items() if name.startswith("visitor")]
    (item,) = [places for name, places in story.places.items() if name.startswith("item")]
    assert len(visitor) == len(item) == 1
    assert visitor.isdisjoint(item)


def test_a_process_that_is_killed_is_started_again_and_told(story: Story) -> None:
    assert story.log.count("taskmanager.died") == 1


def test_a_stop_leaves_nothing(story: Story) -> None:
    assert story.stopped_cleanly
    assert story.left_after_stop == []
    assert story.left_on_disk == []


def test_whatever_kills_the_job_nothing_of_it_lives_on(story: Story) -> None:
    assert story.left_after_kill == []


def test_a_wider_job_resumes_from_the_narrower_ones_incremental_checkpoint(story: Story) -> None:
    assert "/chk-" in story.rescaled_from


def test_another_state_backend_resumes_from_the_savepoint(story: Story) -> None:
    assert f'"resume_from": "{story.savepoint}"' in story.log.rsplit("job.submitted", 1)[1]


def test_every_row_is_right_in_the_end_and_nothing_is_missing(story: Story) -> None:
    visitor_rows_are_right(story.outcome)
    last_visitor_rows_include_the_whole_log(story.outcome)
    last_item_rows_are_right(story.outcome)
    letters_are_right(story.outcome)
