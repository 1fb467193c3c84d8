"""What Flink is told: slots, backends, and what happens to the state that a job resumes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from speed.job.flink_options import cluster_options, job_options
from speed.job.settings import JobSettings, TopicNames
from speed.job.start import Start

CHECKPOINT = Path("/state/checkpoints/run/chk-1")
NOTHING = Start(state=None, at_ms=None)


def told(start: Start = NOTHING, **fields: Any) -> dict[str, str]:
    topics = TopicNames("interactions", "visitor-states", "item-states", "dead-letters")
    settings = JobSettings(
        bootstrap="127.0.0.1:9092",
        topics=topics,
        checkpoint_dir="/state/checkpoints",
        rest_port=8081,
        jars=("/jars/a.jar",),
        **fields,
    )
    return cluster_options(settings, Path("/state/working/run-1"), 6123) | job_options(settings, start)


def slots(*, parallelism: int, taskmanagers: int = 0) -> str:
    return told(parallelism=parallelism, taskmanagers=taskmanagers)["taskmanager.numberOfTaskSlots"]


def test_visitors_and_items_have_slots_of_their_own_for_every_subtask() -> None:
    assert [slots(parallelism=parallelism) for parallelism in (1, 3)] == ["2", "6"]
    assert [slots(parallelism=parallelism, taskmanagers=1) for parallelism in (1, 3)] == ["2", "6"]


@pytest.mark.parametrize(
    ("taskmanagers", "parallelism", "each"), [(2, 1, "1"), (2, 2, "2"), (4, 2, "1"), (3, 2, "2"), (16, 8, "1")]
)
def test_the_slots_are_spread_over_the_processes(taskmanagers: int, parallelism: int, each: str) -> None:
    assert slots(taskmanagers=taskmanagers, parallelism=parallelism) == each


def test_processes_listen_on_the_loopback_interface_only_and_share_the_memory_settings() -> None:
    options = told(taskmanagers=2, heap_mb=1_024, managed_memory_mb=512)
    addresses = [value for name, value in options.items() if name.endswith(("-host", ".host", "address"))]
    assert len(addresses) == 6
    assert set(addresses) == {"127.0.0.1"}
    assert options["taskmanager.memory.task.heap.size"] == "896m"
    assert options["taskmanager.memory.managed.size"] == "512m"


def test_flink_shows_its_metrics_when_asked_a_port_a_process() -> None:
    assert not {name for name in told() if "reporter" in name}
    option = "metrics.reporter.prometheus.port"
    ports = {count: told(metrics_port=9_249, taskmanagers=count)[option] for count in (0, 2)}
    assert ports == {0: "9249", 2: "9249-9251"}


def test_without_processes_flink_sizes_its_memory_itself() -> None:
    assert not {name for name in told() if name.startswith(("jobmanager.rpc", "taskmanager.memory.task"))}


@pytest.mark.parametrize(
    ("backend", "is_savepoint", "mode"),
    [
        ("hashmap", False, "CLAIM"),
        ("hashmap", True, "NO_CLAIM"),
        ("rocksdb", False, "NO_CLAIM"),
        ("rocksdb", True, "NO_CLAIM"),
    ],
)
def test_only_a_checkpoint_that_stands_alone_is_taken_over(backend: str, is_savepoint: bool, mode: str) -> None:
    options = told(Start(CHECKPOINT, None, is_savepoint), state_backend=backend)
    assert options["execution.state-recovery.claim-mode"] == mode
    assert options["execution.state-recovery.path"] == f"file://{CHECKPOINT}"
    assert options["state.backend.type"] == backend


def test_rocksdb_writes_only_what_has_changed() -> None:
    assert told(state_backend="rocksdb")["execution.checkpointing.incremental"] == "true"
    assert "execution.checkpointing.incremental" not in told()


def test_flinks_counters_are_read_at_most_a_second_old() -> None:
    assert told()["metrics.fetcher.update-interval"] == "1000"
