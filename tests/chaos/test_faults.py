"""The injector: it kills the recorded process, as much of its session as the target says, and nothing else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.processes.identity import ProcessIdentity, kill_session, session_members
from infra.processes.record import RunFolder, ServiceRecord, State
from infra.settings import Settings, load_settings
from tests.chaos.faults import GaveUp, Injector
from tests.waiting import wait_until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(state_dir=tmp_path)


@pytest.fixture
def leader() -> Iterator[ProcessIdentity]:
    """A shell in a session of its own, with a child."""
    with subprocess.Popen(["/bin/sh", "-c", "sleep 60; true"], start_new_session=True) as shell:
        identity = ProcessIdentity.of(shell.pid)
        wait_until(lambda: len(list(session_members(identity))) == 2, 5, "the child")
        yield identity
        kill_session(identity)


def injector(
    settings: Settings, service: str, identity: ProcessIdentity | None, state: State = State.READY
) -> Injector:
    RunFolder(settings.run_dir).write_service(ServiceRecord(service=service, state=state, identity=identity))
    return Injector(settings, lambda: False)


def test_a_service_dies_with_all_that_it_has_started(settings: Settings, leader: ProcessIdentity) -> None:
    members = [member.pid for member in session_members(leader)]
    assert sorted(injector(settings, "writer", leader).kill("writer")) == sorted(members)
    wait_until(lambda: not any(session_members(leader)), 5, "both to be dead")


def test_the_client_of_flink_dies_alone(settings: Settings, leader: ProcessIdentity) -> None:
    child = next(member for member in session_members(leader) if member.pid != leader.pid)
    assert injector(settings, "speed", leader).kill("flink-client") == [leader.pid]
    wait_until(lambda: not leader.is_running(), 5, "the leader to be dead")
    assert child.status() != psutil.STATUS_ZOMBIE
    child.kill()


def test_a_wiped_redis_has_no_files_and_another_one_keeps_them(settings: Settings, leader: ProcessIdentity) -> None:
    folder = settings.state_dir / "redis"
    folder.mkdir()
    (folder / "appendonly.aof").touch()
    kill = injector(settings, "redis", leader).kill
    kill("redis")
    assert folder.exists()
    with subprocess.Popen(["/bin/sleep", "60"], start_new_session=True) as again:
        injector(settings, "redis", ProcessIdentity.of(again.pid)).kill("redis-wiped")
    assert not folder.exists()


def test_what_the_supervisor_has_given_up_cannot_be_killed(settings: Settings) -> None:
    with pytest.raises(GaveUp, match="archiver"):
        injector(settings, "archiver", None, State.FAILED).kill("archiver")


def test_a_later_process_with_the_pid_of_the_dead_is_left_alone(settings: Settings, leader: ProcessIdentity) -> None:
    earlier = ProcessIdentity(leader.pid, leader.started_at_ms - 60_000)
    RunFolder(settings.run_dir).write_service(ServiceRecord(service="writer", state=State.READY, identity=earlier))
    looks = iter([False, False, True])
    assert Injector(settings, lambda: next(looks)).kill("writer") == []
    assert leader.is_running()
