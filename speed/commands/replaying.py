"""The running of a replay: topics, a job and a writer of its own, and nothing of them left at the end."""

from __future__ import annotations

import dataclasses
import random
import secrets
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from infra.processes import programs
from infra.processes.launch import Child, launch
from infra.processes.ports import free_ports
from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings, Settings
from schemas.errors import DependencyError
from schemas.topics import DEAD_LETTERS, INTERACTIONS, ITEM_STATES, VISITOR_STATES
from speed.commands.flink import FlinkClient
from speed.commands.log import reading
from speed.commands.target import Target
from speed.job.settings import JobSettings, LogRange
from speed.writer.__main__ import GROUP, connect
from speed.writer.finishing import FeatureUpdate, Finisher
from speed.writer.sink import RedisFeatureSink, Written
from speed.writer.writing import FeatureWriter

OWN_TOPICS: Final = (INTERACTIONS, VISITOR_STATES, ITEM_STATES, DEAD_LETTERS)
"""Of the interactions it has its own only to wait beside: it stays empty."""

CHANGELOGS: Final = (VISITOR_STATES, ITEM_STATES)
POLL_S: Final = 0.5
QUIET_LEAST_S: Final = 2.0
STALL_LIMIT_S: Final = 300.0
CHECKPOINT_INTERVAL_MS: Final = 1_000
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay has done: rows by view (those that another replaced included), and records that it refused."""

    rows_written: Counter[str]
    dead_letters: int


class CountingSink(RedisFeatureSink):
    """The writer's sink, which also counts rows by view."""

    def __init__(self, target: Target, settings: Settings) -> None:
        redis = settings.redis.model_copy(update={"host": target.host, "port": target.port})
        super().__init__(redis, settings.feast.project, database=target.database)
        self.rows: Counter[str] = Counter()

    def write(self, updates: Sequence[FeatureUpdate]) -> Written:
        written = super().write(updates)
        self.rows.update(row.view for update in updates for row in update.rows)
        return written


def replay_into(target: Target, part: LogRange, settings: Settings, say: Say) -> Replayed:
    """Run the range through a job and a writer into the target; returns when the last row is in it.

    Raises:
        DependencyError: a server stopped answering, or the job failed; what was written so far stays in the target.
    """
    name = f"replay-{secrets.token_hex(4)}"
    own = settings.kafka.model_copy(update={"topic_prefix": f"{settings.kafka.topic_prefix}{name}-"})
    folder = settings.flink_dir / name
    job = _job(settings, own, part, folder)
    with (
        _topics(own, groups=[str(job["group_id"]), f"{own.topic_prefix}{GROUP}"]),
        _folder(folder),
        closing(CountingSink(target, settings)) as sink,
        _running(name, settings, job) as child,
        _writing(own, settings, sink, folder) as writer,
    ):
        say(f"replaying as {name}; the log of its job is {child.command.log_path}")
        drain = _Drain(own, job, child, writer)
        drain.wait()
        letters = _records_in(own, DEAD_LETTERS.name)
    return Replayed(sink.rows, letters)


def _job(settings: Settings, own: KafkaSettings, part: LogRange, folder: Path) -> dict[str, Any]:
    """What the job of the replay is told: the live interactions in, its own topics out."""
    job = programs.speed_job(settings.model_copy(update={"kafka": own}))
    idle = job["topics"]["interactions"]
    live = programs.speed_job(settings, jars=())["topics"]["interactions"]
    return {
        **job,
        "topics": {**job["topics"], "interactions": live},
        "idle_topic": idle,
        "replay": msgspec.to_builtins(part, str_keys=True),
        "checkpoint_dir": str(folder / "checkpoints"),
        "savepoint_dir": str(folder / "savepoints"),
        "checkpoint_interval_ms": CHECKPOINT_INTERVAL_MS,
        "rest_port": next(free_ports(random.Random())),
        "heartbeat": None,
    }


@contextmanager
def _topics(own: KafkaSettings, groups: Sequence[str]) -> Iterator[None]:
    ensure_topics(own, OWN_TOPICS)
    try:
        yield
    finally:
        with closing(KafkaAdminClient(bootstrap_servers=own.bootstrap, client_id="firth-replay")) as admin:
            with suppress(KafkaError):
                admin.delete_groups(list(groups))
            with suppress(KafkaError):
                admin.delete_topics([topic.named(own.topic_prefix).name for topic in OWN_TOPICS])


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(name: str, settings: Settings, job: dict[str, Any]) -> Iterator[Child]:
    command = programs.flink_job(name, settings, job)
    child = launch(dataclasses.replace(command, log_path=settings.logs_dir / "replay.log"))
    try:
        yield child
    finally:
        child.stop()
        Path(command.argv[-1]).unlink(missing_ok=True)


class _Writer:
    """A feature writer in a thread."""

    def __init__(self, own: KafkaSettings, settings: Settings, sink: RedisFeatureSink, folder: Path) -> None:
        finisher = Finisher(settings.feast.project, settings.policies)
        self._finish = {
            VISITOR_STATES.named(own.topic_prefix).name: finisher.visitor,
            ITEM_STATES.named(own.topic_prefix).name: finisher.item,
        }
        self._own, self._sink, self._heartbeat = own, sink, folder / "writer.heartbeat"
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="replay-writer")

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more; returns when it has stopped."""
        self._stopped.set()
        self._thread.join()

    def raise_failure(self) -> None:
        """Raise what ended it, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with closing(connect(self._own)) as consumer:
                FeatureWriter(consumer, self._sink, self._finish).run(self._stopped, self._heartbeat)
        except BaseException as error:  # noqa: BLE001 - a process boundary: the main thread raises it
            self._failure = error


@contextmanager
def _writing(own: KafkaSettings, settings: Settings, sink: RedisFeatureSink, folder: Path) -> Iterator[_Writer]:
    writer = _Writer(own, settings, sink, folder)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()


class _Drain:
    """Waits until the last row of the range is in the store."""

    def __init__(self, own: KafkaSettings, job: dict[str, Any], child: Child, writer: _Writer) -> None:
        self._own = own
        self._flink = FlinkClient(job["rest_port"])
        self._source = f"Source: {job['topics']['interactions']}"
        self._child = child
        self._writer = writer
        periods_ms = msgspec.convert(job, JobSettings, str_keys=True)
        slowest_ms = max(periods_ms.visitor_period_ms, periods_ms.item_period_ms)
        self._quiet_s = QUIET_LEAST_S + 3 * slowest_ms / 1_000

    def wait(self) -> None:
        """First the source reads its range to the end; then two checkpoints carry the last record through every
        operator and sink; then the rows that waited for a timer leave; then the writer is level with the changelogs.
        """
        self._wait_for(self._has_read_all, "the source to read the range")
        level = self._checkpoints() + 2
        self._wait_for(lambda: self._checkpoints() >= level, "two checkpoints")
        self._wait_for(self._is_quiet(), "the last rows to leave")
        self._wait_for(self._is_written, "the writer")

    def _wait_for(self, holds: Callable[[], bool], what: str) -> None:
        """Patient as long as the job makes progress."""
        last, changed_at_s = -1, time.monotonic()
        while not holds():
            self._writer.raise_failure()
            if self._child.exit_code() is not None:
                raise self._child.failure(f"ended with exit code {self._child.exit_code()}")
            progress = sum(_ends(self._own).values()) + self._committed()
            if progress != last:
                last, changed_at_s = progress, time.monotonic()
            elif time.monotonic() - changed_at_s > STALL_LIMIT_S:
                raise self._child.failure(f"made no progress for {STALL_LIMIT_S:.0f} s while waiting for {what}")
            time.sleep(POLL_S)

    def _has_read_all(self) -> bool:
        """Whether the vertex of the bounded source has finished; a job that starts says nothing yet."""
        try:
            job = self._flink.job()
            vertices = self._flink.ask("GET", f"/jobs/{job.id}")["vertices"]
        except DependencyError:
            return False
        ours = [vertex for vertex in vertices if vertex["name"].startswith(self._source)]
        return bool(ours) and all(vertex["status"] == "FINISHED" for vertex in ours)

    def _checkpoints(self) -> int:
        return int(self._flink.ask("GET", f"/jobs/{self._flink.job().id}/checkpoints")["counts"]["completed"])

    def _is_quiet(self) -> Callable[[], bool]:
        last: dict[str, int] = {}
        since_s = time.monotonic()

        def holds() -> bool:
            nonlocal last, since_s
            ends = _ends(self._own)
            if ends != last:
                last, since_s = ends, time.monotonic()
            return time.monotonic() - since_s >= self._quiet_s

        return holds

    def _is_written(self) -> bool:
        return self._committed() == sum(_ends(self._own).values())

    def _committed(self) -> int:
        group = f"{self._own.topic_prefix}{GROUP}"
        total = 0
        for topic in CHANGELOGS:
            with reading(self._own, topic.named(self._own.topic_prefix).name, group) as changelog:
                total += sum(changelog.committed().values())
        return total


def _ends(own: KafkaSettings) -> dict[str, int]:
    """How many records each changelog has had."""
    return {topic.name: _records_in(own, topic.name) for topic in CHANGELOGS}


def _records_in(own: KafkaSettings, topic: str) -> int:
    with reading(own, f"{own.topic_prefix}{topic}") as log:
        return sum(bounds.until for bounds in log.bounds().values())
