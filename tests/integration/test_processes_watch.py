"""One service under supervision: what happens when it dies, hangs or cannot start."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra.processes.identity import ProcessIdentity, session_members
from infra.processes.launch import Command, launch
from infra.processes.plan import Service
from infra.processes.record import RunFolder, ServiceRecord, State
from infra.processes.restarts import RestartPolicy
from infra.processes.supervisor import end_leftovers
from infra.processes.watch import Watch
from infra.settings import PROJECT_ROOT, Settings
from schemas.errors import ConfigurationError
from tests.integration.toy_services import shell_command, shell_service
from tests.servers import instance_in
from tests.waiting import wait_until

QUICK = RestartPolicy(delay_min_ms=20, delay_max_ms=80, restarts_max=3)
SERVES = "touch ready; exec sleep 600"
DIES_ONCE_READY = "touch ready; sleep 0.3; echo 'out of memory'; exit 7"


@pytest.fixture
def watches() -> Iterator[list[Watch]]:
    """The watches of a test, stopped at its end."""
    made: list[Watch] = []
    yield made
    for watch in made:
        watch.stop()


def watch_over(settings: Settings, service: Service, watches: list[Watch]) -> Watch:
    watches.append(Watch(service, settings, QUICK))
    return watches[-1]


def step_until(watch: Watch, state: State, needed: tuple[ServiceRecord, ...] = ()) -> None:
    def reached() -> bool:
        watch.step(time.time_ns() // 1_000_000, needed)
        return watch.record.state == state

    wait_until(reached, 30, f"{watch.service.name} to be {state}")


def test_a_killed_service_is_started_again(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), shell_service(tmp_path, SERVES), watches)
    step_until(watch, State.READY)
    first = watch.record.identity
    assert first is not None
    os.kill(first.pid, signal.SIGKILL)
    step_until(watch, State.BACKING_OFF)
    assert "was ended by signal 9" in watch.record.detail
    step_until(watch, State.READY)
    assert watch.record.identity != first
    assert watch.record.restarts == 1


def test_a_restart_that_was_asked_for_counts_as_no_death(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), shell_service(tmp_path, SERVES), watches)
    step_until(watch, State.READY)
    first = watch.record.identity
    assert first is not None
    watch.restart()
    assert not first.is_running()
    step_until(watch, State.READY)
    assert watch.record.identity != first
    assert watch.record.restarts == 0


def test_a_service_that_dies_again_and_again_is_given_up(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), shell_service(tmp_path, DIES_ONCE_READY), watches)
    step_until(watch, State.FAILED)
    assert watch.record.restarts == QUICK.restarts_max
    assert "exit code 7" in watch.record.detail
    assert "out of memory" in watch.record.detail


def test_a_service_that_never_got_ready_gets_one_more_chance_only(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), shell_service(tmp_path, "exit 1"), watches)
    step_until(watch, State.FAILED)
    assert watch.record.restarts == 1


def test_a_failed_service_that_is_asked_for_again_is_tried_again(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), shell_service(tmp_path, f"test -e disk || exit 1; {SERVES}"), watches)
    step_until(watch, State.FAILED)
    (tmp_path / "disk").touch()
    watch.retry()
    step_until(watch, State.READY)


def test_what_a_dead_service_left_running_is_ended_before_it_starts_again(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), shell_service(tmp_path, "sleep 600 & touch ready; wait"), watches)
    step_until(watch, State.READY)
    leader = watch.record.identity
    assert leader is not None
    assert len(list(session_members(leader))) == 2
    os.kill(leader.pid, signal.SIGKILL)
    step_until(watch, State.BACKING_OFF)
    assert not list(session_members(leader))


def test_a_one_shot_that_succeeds_is_done(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), Service("once", lambda _: one_shot(tmp_path, "exit 0")), watches)
    step_until(watch, State.DONE)


def test_a_one_shot_that_fails_says_why(tmp_path: Path, watches: list[Watch]) -> None:
    service = Service("once", lambda _: one_shot(tmp_path, "echo 'no such keyspace'; exit 2"))
    watch = watch_over(instance_in(tmp_path), service, watches)
    step_until(watch, State.FAILED)
    assert "no such keyspace" in watch.record.detail


def test_a_service_waits_for_what_it_needs_and_is_blocked_when_that_fails(tmp_path: Path, watches: list[Watch]) -> None:
    watch = watch_over(instance_in(tmp_path), shell_service(tmp_path, SERVES), watches)
    step_until(watch, State.WAITING, (ServiceRecord(service="kafka", state=State.STARTING),))
    assert watch.record.detail == "for kafka"
    step_until(watch, State.BLOCKED, (ServiceRecord(service="kafka", state=State.FAILED),))
    assert watch.record.detail == "needs kafka"
    step_until(watch, State.READY, (ServiceRecord(service="kafka", state=State.READY),))


def test_a_service_that_is_misconfigured_fails_at_once(tmp_path: Path, watches: list[Watch]) -> None:
    def misconfigured(settings: Settings) -> None:
        raise ConfigurationError("FIRTH_JARS_DIR", "holds no jars", "run `make setup`")

    watch = watch_over(instance_in(tmp_path), Service("toy", misconfigured), watches)  # type: ignore[arg-type]
    watch.step(0, ())
    assert watch.record.state == State.FAILED
    assert watch.record.detail == "FIRTH_JARS_DIR: holds no jars; run `make setup`"


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path;"
        "from infra.processes.launch import launch; from tests.integration.toy_services import shell_command;"
        "print(launch(shell_command(Path(sys.argv[1]), 'exec sleep 600')).pid, flush=True); time.sleep(600)"
    )
    argv = (sys.executable, "-c", program, str(tmp_path))
    with subprocess.Popen(argv, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = ProcessIdentity.of(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    wait_until(lambda: not child.is_running(), 10, "the child to end with its parent")


def test_what_a_killed_supervisor_left_is_ended(tmp_path: Path) -> None:
    settings = instance_in(tmp_path)
    child = launch(shell_command(tmp_path, "sleep 600 & touch ready; wait"))
    child.wait_ready()
    folder = RunFolder(settings.run_dir)
    folder.write_service(ServiceRecord(service="redis", state=State.READY, identity=child.identity))
    assert end_leftovers(folder) == ["redis"]
    assert not list(session_members(child.identity))
    assert end_leftovers(folder) == []
    child.stop()


def test_a_recorded_pid_that_now_belongs_to_another_process_is_left_alone(tmp_path: Path) -> None:
    settings = instance_in(tmp_path)
    innocent = launch(shell_command(tmp_path, SERVES))
    innocent.wait_ready()
    an_hour_earlier = ProcessIdentity(innocent.pid, innocent.identity.started_at_ms - 3_600_000)
    folder = RunFolder(settings.run_dir)
    folder.write_service(ServiceRecord(service="redis", state=State.READY, identity=an_hour_earlier))
    assert end_leftovers(folder) == []
    assert psutil.pid_exists(innocent.pid)
    assert innocent.exit_code() is None
    innocent.stop()


def one_shot(folder: Path, script: str) -> Command:
    return dataclasses.replace(shell_command(folder, script), ready=None)
