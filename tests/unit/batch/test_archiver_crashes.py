"""The archiver dies at every one of its steps, and races another one in every order: each record is there once."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from batch.lake.interactions import INTERACTIONS
from batch.lake.table import Compacted, Lake, Overtaken
from batch.lake.table_archiver import TableArchiver
from domain.policies import BucketPolicy, Policies
from infra.settings import BatchSettings
from tests.unit.batch.topic_in_memory import Clock, KafkaRecord, TopicInMemory

PERIOD_MS = 60_000
POLICIES = Policies(bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1))
BATCH = BatchSettings(archive_interval_ms=100, archive_rows_max=2, closing_grace_ms=0)


class Killed(BaseException):
    """What kill -9 is to the process: nothing handles it."""


class Fuse:
    """Burns down with every step, and then kills."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def burn(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


class KilledTopic(TopicInMemory):
    """A reader of a topic whose process may die before each answer."""

    def __init__(self, log: TopicInMemory, fuse: Fuse) -> None:
        super().__init__()
        self.records, self.starts, self._fuse = log.records, log.starts, fuse

    def bounds(self) -> dict[int, tuple[int, int]]:
        self._fuse.burn()
        return super().bounds()

    def seek(self, positions: Mapping[int, int]) -> None:
        self._fuse.burn()
        super().seek(positions)

    def poll(self, timeout_ms: int, records_max: int) -> list[KafkaRecord]:
        self._fuse.burn()
        return super().poll(timeout_ms, records_max)

    def positions(self) -> dict[int, int]:
        self._fuse.burn()
        return super().positions()


class KilledLake(Lake):
    """The table in the hands of a process that may die before a commit, within one and after it."""

    def __init__(self, folder: Path, fuse: Fuse) -> None:
        super().__init__(DeltaTable(folder), folder, INTERACTIONS.schema)
        self._fuse = fuse

    def refresh(self) -> None:
        self._fuse.burn()
        super().refresh()

    def append(
        self,
        rows: Iterable[pa.RecordBatch],
        progress: Mapping[str, int],
        *,
        known: Mapping[str, int | None] | None = None,
    ) -> None:
        self._dying_within(lambda: super(KilledLake, self).append(list(rows), progress, known=known))

    def compact(self, below_ms: int | None = None) -> Compacted:
        done: Compacted = self._dying_within(lambda: super(KilledLake, self).compact(below_ms))
        return done

    def _dying_within(self, commit: Callable[[], Any]) -> Any:
        self._fuse.burn()
        before, done = self.version, commit()
        is_plain_commit = self.version > before and self.version % 100 > 0  # a checkpoint would tell of it too
        if self._fuse.left == 0 and is_plain_commit:  # the files are written, and their commit is not
            (self._folder / "_delta_log" / f"{self.version:020}.json").unlink()
        self._fuse.burn()
        self._fuse.burn()
        return done


def archived_ids(folder: Path) -> list[str]:
    return sorted(Lake.open(folder, POLICIES.bucket).read(["event_id"])["event_id"].to_pylist())


def test_death_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    log, clock = TopicInMemory(), Clock()
    Lake.open(tmp_path, POLICIES.bucket)
    for steps in itertools.count():
        for number in range(3):
            log.add(f"e{steps:03d}-{number}", at_ms=clock.at_ms, partition=number % 2)
        clock.at_ms += PERIOD_MS  # each life closes a bucket too, and joins its files
        fuse = Fuse(steps)
        try:
            run_one_life(tmp_path, log, clock, fuse)
        except Killed:
            continue
        break
    assert steps > 20
    assert archived_ids(tmp_path) == [f"e{life:03d}-{number}" for life in range(steps + 1) for number in range(3)]


def run_one_life(folder: Path, log: TopicInMemory, clock: Clock, fuse: Fuse) -> None:
    source, lake = KilledTopic(log, fuse), KilledLake(folder, fuse)
    TableArchiver(lake, INTERACTIONS, source, POLICIES, BATCH, clock).run_to_end()


class Racer:
    """An archiver that is moved one step at a time, and may die and begin again between any two of them."""

    def __init__(self, folder: Path, log: TopicInMemory, clock: Clock) -> None:
        self._folder, self._log, self._clock = folder, log, clock
        self.begin()

    def begin(self) -> None:
        lake = Lake.open(self._folder, POLICIES.bucket)
        self._archiver = TableArchiver(lake, INTERACTIONS, self._log.another_reader(), POLICIES, BATCH, self._clock)
        self._steps = itertools.cycle(
            [self._archiver._recover, lambda: self._archiver._gather(Event()), self._archiver._commit]
        )

    def step(self) -> None:
        next(self._steps)()

    def finish(self) -> None:
        self._archiver.run_to_end()


@pytest.mark.parametrize("seed", range(4))
def test_two_archivers_in_any_order_double_and_lose_nothing(tmp_path: Path, seed: int) -> None:
    random, log, clock = Random(seed), TopicInMemory(), Clock()
    Lake.open(tmp_path, POLICIES.bucket)
    racers, joiner = [Racer(tmp_path, log, clock) for _ in range(2)], Lake.open(tmp_path, POLICIES.bucket)
    for number in range(30):
        log.add(f"e{number:03d}", at_ms=clock.at_ms, partition=random.randrange(2))
        clock.at_ms += random.choice((0, 0, PERIOD_MS // 3))
        racer = random.choice(racers)
        if random.random() < 0.1:
            racer.begin()
        if random.random() < 0.15:
            join(joiner)
        racer.step()
    for racer in racers:
        racer.begin()
        racer.finish()
    assert archived_ids(tmp_path) == [f"e{number:03d}" for number in range(30)]


def join(lake: Lake) -> None:
    """A third process joins the files of all buckets, that of the racers included."""
    lake.refresh()
    try:
        lake.compact()
    except Overtaken:
        return
