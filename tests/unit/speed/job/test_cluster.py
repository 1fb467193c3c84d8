"""TaskManagers that die, without any: who is started again, when, and when it is given up."""

from __future__ import annotations

import subprocess

import pytest

from infra.processes.restarts import RestartPolicy
from schemas.errors import DependencyError
from speed.job.cluster import Cluster

POLICY = RestartPolicy(delay_min_ms=100, restarts_max=2, window_ms=10_000)
KILLED = -9


class Fake:
    """A process that lives until it is told not to; a stubborn one only ends when it is killed."""

    def __init__(self, *, is_stubborn: bool = False) -> None:
        self.code: int | None = None
        self._is_stubborn = is_stubborn

    def poll(self) -> int | None:
        return self.code

    def terminate(self) -> None:
        if not self._is_stubborn:
            self.code = self.code or 0

    def kill(self) -> None:
        self.code = KILLED

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("java", timeout or 0)
        return self.code


class World:
    """Two TaskManagers, and every process that was ever started for each."""

    def __init__(self) -> None:
        self.started: dict[int, list[Fake]] = {1: [], 2: []}
        self.cluster = Cluster(2, self._start, POLICY)

    def _start(self, number: int) -> Fake:
        self.started[number].append(Fake())
        return self.started[number][-1]

    def kill(self, number: int, at_ms: int) -> None:
        self.started[number][-1].code = KILLED
        self.cluster.step(at_ms, job_runs=False)

    def counts(self) -> list[int]:
        return [len(started) for started in self.started.values()]


def test_one_that_died_is_started_again_after_a_delay_and_the_other_left_alone() -> None:
    world = World()
    world.cluster.step(0, job_runs=True)
    world.kill(1, at_ms=1_000)
    world.cluster.step(1_099, job_runs=False)
    assert world.counts() == [1, 1]
    world.cluster.step(1_100, job_runs=False)
    assert world.counts() == [2, 1]


def test_deaths_of_different_ones_count_together() -> None:
    world = World()
    for number, at_ms in ((1, 1_000), (2, 3_000)):
        world.cluster.step(at_ms, job_runs=True)
        world.kill(number, at_ms)
        world.cluster.step(at_ms + 500, job_runs=False)
    world.cluster.step(4_000, job_runs=True)
    with pytest.raises(DependencyError, match="taskmanager 1: died again and again, at last with exit code -9"):
        world.kill(1, at_ms=5_000)


def test_deaths_of_long_ago_are_forgiven() -> None:
    world = World()
    for at_ms in (1_000, 12_000, 23_000, 34_000):
        world.cluster.step(at_ms, job_runs=True)
        world.kill(1, at_ms)
        world.cluster.step(at_ms + 500, job_runs=False)
    assert world.counts() == [5, 1]


def test_one_that_never_saw_the_job_run_is_started_once_more_only() -> None:
    world = World()
    world.kill(1, at_ms=1_000)
    world.cluster.step(1_100, job_runs=False)
    with pytest.raises(DependencyError):
        world.kill(1, at_ms=2_000)


def test_a_stop_ends_all_of_them_also_one_that_has_died_and_one_that_does_not_listen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("speed.job.cluster.STOP_LIMIT_S", 0.0)
    processes = {1: Fake(is_stubborn=True), 2: Fake()}
    cluster = Cluster(2, processes.__getitem__, POLICY)
    cluster.stop()
    assert [process.code for process in processes.values()] == [KILLED, 0]
