"""One run of the speed job: what it is told, how it is started, and when it has taken in all there is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from infra.processes import programs
from infra.processes.launch import Child, launch
from infra.processes.ports import is_free
from infra.processes.topics import ensure_topics
from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.topics import DAY_MS, DEAD_LETTERS, IMPRESSIONS, INTERACTIONS, ITEM_STATES, VISITOR_STATES, Topic
from speed.commands.flink import FlinkClient
from tests.benchmark import groups
from tests.waiting import wait_until

POLL_S: Final = 0.25
PORT_LIMIT_S: Final = 30.0
PATIENCE_S: Final = 180.0
"""Without any progress for so long a run has failed."""

LOG_LINES, CAUSES_SHOWN = 2_000, 8
HEAP_MB: Final = 768
HEAP_BYTES_PER_VISITOR: Final = 6_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What a run varies."""

    visitors: int
    state_backend: str
    taskmanagers: int
    parallelism: int = 1

    @property
    def name(self) -> str:
        """Short, for topics and folders."""
        return f"{self.visitors}-{self.state_backend}-{self.taskmanagers}"


class JobRun:
    """A job with topics of its own on a running broker."""

    def __init__(self, settings: Settings, shape: Shape) -> None:
        heap_mb = HEAP_MB + shape.visitors * HEAP_BYTES_PER_VISITOR // 1_000_000
        wanted: dict[str, Any] = {"heap_mb": heap_mb, "parallelism": shape.parallelism}
        wanted |= {"state_backend": shape.state_backend, "taskmanagers": shape.taskmanagers}
        self.settings = settings.model_copy(
            update={
                "state_dir": settings.state_dir / shape.name,
                "kafka": settings.kafka.model_copy(update={"topic_prefix": f"{shape.name}-"}),
                "flink": settings.flink.model_copy(update=wanted),
            }
        )
        self.shape = shape
        self.flink = FlinkClient(self.settings.flink.rest_port)

    def topic(self, topic: Topic) -> str:
        """The run's own name for it."""
        return topic.named(self.settings.kafka.topic_prefix).name

    def create_topics(self) -> None:
        """The changelogs keep every row and are stamped by the broker, because the rows tell the pace."""
        changelogs = [replace(one, cleanup="delete", retention_ms=DAY_MS) for one in (VISITOR_STATES, ITEM_STATES)]
        ensure_topics(self.settings.kafka, [INTERACTIONS, IMPRESSIONS, DEAD_LETTERS, *changelogs])

    def delete_topics(self) -> None:
        """Give the disk back."""
        with groups.admin(self.settings) as client:
            client.delete_topics(
                [self.topic(one) for one in (INTERACTIONS, IMPRESSIONS, DEAD_LETTERS, VISITOR_STATES, ITEM_STATES)]
            )

    @contextmanager
    def started(self) -> Iterator[Child]:
        """The job, until the block ends."""
        job = launch(programs.speed(self.settings))
        try:
            yield job
        finally:
            job.stop()

    def wait_gone(self) -> None:
        """Until nothing of a killed job holds its port: threads of a JVM outlive its first one for a moment."""
        port = self.settings.flink.rest_port
        wait_until(lambda: is_free(programs.LOOPBACK, port), PORT_LIMIT_S, f"port {port} to be free")

    def wait_drained(self, job: Child, ends: dict[int, int]) -> None:
        """Until a checkpoint includes all of the log, so that every operator has.

        Raises:
            DependencyError: the job has ended, or does not get on.
        """
        committed, moved_s, group = -1, time.monotonic(), f"{self.settings.kafka.topic_prefix}firth-speed"
        with groups.admin(self.settings) as client:
            while committed < sum(ends.values()):
                if job.exit_code() is not None:
                    causes = [
                        line for line in job.last_log_lines(LOG_LINES) if "Caused by: " in line or "Error" in line
                    ]
                    raise job.failure(f"ended with exit code {job.exit_code()}: {causes[-CAUSES_SHOWN:]}")
                now = groups.committed(client, group)
                if now > committed:
                    committed, moved_s = now, time.monotonic()
                if time.monotonic() - moved_s > PATIENCE_S:
                    raise job.failure(f"took in {committed} of {sum(ends.values())} records and then no more")
                time.sleep(POLL_S)
        time.sleep(1.0)  # the last rows of items leave by timer

    def last_checkpoint(self) -> dict[str, Any]:
        """Of the newest completed one: bytes by operator, how long it took, and how long those before it did."""
        job = self.flink.job()
        told = self.flink.ask("GET", f"/jobs/{job.id}/checkpoints")
        newest = told["latest"]["completed"]
        details = self.flink.ask("GET", f"/jobs/{job.id}/checkpoints/details/{newest['id']}")
        names = {one["id"]: one["name"] for one in self.flink.ask("GET", f"/jobs/{job.id}")["vertices"]}
        return {
            "bytes": newest["state_size"],
            "written_bytes": newest["checkpointed_size"],
            "ms": newest["end_to_end_duration"],
            "all_ms": sorted(one["end_to_end_duration"] for one in told["history"] if one["status"] == "COMPLETED"),
            "visitor_bytes": _bytes_of("visitor", details["tasks"], names),
            "item_bytes": _bytes_of("item", details["tasks"], names),
        }

    def assert_as_asked(self) -> None:
        """That Flink runs what the shape says, for a setting that nobody reads would make two runs the same."""
        job = self.flink.job()
        backend = self.flink.ask("GET", f"/jobs/{job.id}/checkpoints/config")["state_backend"]
        managers = len(self.flink.ask("GET", "/taskmanagers")["taskmanagers"])
        is_other = self.shape.state_backend not in backend.lower().replace("embedded", "")
        if is_other or managers != max(self.shape.taskmanagers, 1):
            problem = f"runs {backend} on {managers} task managers, not {self.shape.name}"
            raise DependencyError("the speed job", problem, "are FIRTH_FLINK__STATE_BACKEND, …__TASKMANAGERS read?")


def _bytes_of(operator: str, tasks: dict[str, Any], names: dict[str, str]) -> int:
    return sum(int(task["state_size"]) for vertex, task in tasks.items() if names[vertex].startswith(operator))
