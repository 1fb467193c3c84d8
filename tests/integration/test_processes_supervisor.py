"""`python -m infra up | down | status | logs` as a person types them, with real servers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import redis

from infra.processes.control import ServiceStatus, status
from infra.processes.identity import ProcessIdentity
from infra.processes.ports import PORT_VARIABLES, read_ports
from infra.processes.record import RunFolder
from infra.settings import PROJECT_ROOT, Settings
from tests.servers import instance_in
from tests.waiting import wait_until

LIMIT_S = 240


class Terminal:
    """A shell in which the variables of one instance are set."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.run_folder = RunFolder(settings.run_dir)
        self._variables = variables_of(settings)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            (sys.executable, "-m", "infra", *arguments),
            cwd=PROJECT_ROOT,
            env={**os.environ, **self._variables},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )

    def up(self, *names: str) -> str:
        done = self.run("up", "--only", ",".join(names))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> dict[str, ServiceStatus]:
        return {row.service: row for row in status(self.settings)}

    def redis(self) -> redis.Redis:
        return redis.Redis(host=self.settings.redis.host, port=self.settings.redis.port)

    def supervisor(self) -> ProcessIdentity:
        record = self.run_folder.supervisor()
        assert record is not None
        return record.identity

    def processes(self) -> list[psutil.Process]:
        """Everything alive that has this instance's environment or, as Redis overwrites that, its port in the title."""
        return [found for found in psutil.process_iter() if found.pid != os.getpid() and self._owns(found)]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            is_redis = any(part.endswith(f" 127.0.0.1:{self.settings.redis.port}") for part in process.cmdline())
            return is_redis or process.environ().get("FIRTH_STATE_DIR") == str(self.settings.state_dir)
        except psutil.Error:
            return False


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of an instance of its own, on free ports; nothing of it is left at the end."""
    terminal = Terminal(instance_in(tmp_path))
    yield terminal
    terminal.run("down")
    assert terminal.processes() == []


def variables_of(settings: Settings) -> dict[str, str]:
    """The settings' ports and state folder as environment variables."""
    ports = {}
    for variable in PORT_VARIABLES:
        branch, leaf = variable.removeprefix("FIRTH_").lower().split("__")
        ports[variable] = str(getattr(getattr(settings, branch), leaf))
    return {**ports, "FIRTH_STATE_DIR": str(settings.state_dir)}


def test_up_status_and_down_tell_what_they_do(terminal: Terminal) -> None:
    said = terminal.up("redis")
    assert f"127.0.0.1:{terminal.settings.redis.port}" in said
    assert "up: 1 services in" in said
    table = terminal.run("status")
    assert table.returncode == 0
    assert table.stdout.splitlines()[1].split()[:2] == ["redis", "ready"]
    assert json.loads(terminal.run("status", "--json").stdout)[0]["address"] in said
    assert "Ready to accept connections" in terminal.run("logs", "redis").stdout
    down = terminal.run("down")
    assert "redis      stopped" in down.stdout
    assert "nothing is left running" in down.stdout
    assert terminal.processes() == []
    assert "nothing is up" in terminal.run("status").stdout
    assert "nothing is left running" in terminal.run("down").stdout


def test_a_second_up_changes_nothing(terminal: Terminal) -> None:
    terminal.up("redis")
    before = terminal.status()["redis"].pid, terminal.supervisor()
    terminal.up("redis")
    assert (terminal.status()["redis"].pid, terminal.supervisor()) == before


def test_two_ups_at_once_start_one_supervisor(terminal: Terminal) -> None:
    argv = (sys.executable, "-m", "infra", "up", "--only", "redis")
    environment = {**os.environ, **variables_of(terminal.settings)}
    both = [subprocess.Popen(argv, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(LIMIT_S) for process in both] == [0, 0]
    assert sum(process.name() == "redis-server" for process in terminal.processes()) == 1
    assert sum("infra.processes.supervisor" in process.cmdline() for process in terminal.processes()) == 1


def test_what_was_written_is_there_after_down_and_up(terminal: Terminal) -> None:
    terminal.up("redis")
    with closing(terminal.redis()) as client:
        client.set("kept", "1")
        terminal.run("down")
        terminal.up("redis")
        assert client.get("kept") == b"1"


def test_a_killed_server_is_back_by_itself_with_its_data(terminal: Terminal) -> None:
    terminal.up("redis")
    with closing(terminal.redis()) as client:
        client.set("kept", "1")
        first = terminal.status()["redis"].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: terminal.status()["redis"].pid not in (None, first), 60, "a new Redis")
        wait_until(lambda: terminal.status()["redis"].state == "ready", 60, "Redis to be ready")
        assert terminal.status()["redis"].restarts == 1
        assert client.get("kept") == b"1"


def test_a_restart_brings_one_service_back_with_its_data_and_leaves_the_others_alone(terminal: Terminal) -> None:
    terminal.up("redis", "topics")
    before = terminal.status()
    with closing(terminal.redis()) as client:
        client.set("answer", "42")
    done = terminal.run("restart", "redis")
    assert done.returncode == 0, done.stderr
    after = terminal.status()
    assert (after["redis"].state, after["redis"].restarts) == ("ready", 0)
    assert after["redis"].pid != before["redis"].pid
    assert after["kafka"].pid == before["kafka"].pid
    with closing(terminal.redis()) as client:
        assert client.get("answer") == b"42"


def test_a_restart_without_a_platform_names_the_remedy(terminal: Terminal) -> None:
    done = terminal.run("restart", "redis")
    assert (done.returncode, "python -m infra up" in done.stderr) == (69, True)


def test_after_a_killed_supervisor_nothing_serves_and_up_repairs_it(terminal: Terminal) -> None:
    terminal.up("redis")
    supervisor = terminal.supervisor()
    os.kill(supervisor.pid, signal.SIGKILL)
    wait_until(lambda: not terminal.processes(), 30, "the children to end with the supervisor")
    assert terminal.status()["redis"].state == "gone"
    terminal.up("redis")
    assert terminal.status()["redis"].state == "ready"
    assert terminal.supervisor() != supervisor


def test_down_after_a_killed_supervisor_leaves_nothing(terminal: Terminal) -> None:
    terminal.up("redis")
    os.kill(terminal.supervisor().pid, signal.SIGKILL)
    assert terminal.run("down").returncode == 0
    assert terminal.processes() == []


def test_a_taken_port_is_one_clear_line_and_up_again_repairs_it(terminal: Terminal) -> None:
    with closing(socket.create_server((terminal.settings.redis.host, terminal.settings.redis.port))):
        refused = terminal.run("up", "--only", "redis")
    assert refused.returncode == 69
    assert "set FIRTH_REDIS__PORT to a free port" in refused.stderr
    assert terminal.status()["redis"].state == "failed"
    terminal.up("redis")


def test_an_unknown_name_is_refused_with_the_known_ones(terminal: Terminal) -> None:
    refused = terminal.run("up", "--only", "reddis")
    assert refused.returncode == 78
    assert "reddis: is not a service; use some of cassandra, redis, kafka" in refused.stderr


def test_free_ports_are_left_for_others(terminal: Terminal) -> None:
    assert terminal.run("up", "--only", "redis", "--free-ports").returncode == 0
    chosen = read_ports(terminal.settings.run_dir)
    assert set(chosen) == set(PORT_VARIABLES)
    assert terminal.status()["redis"].address == f"127.0.0.1:{chosen['FIRTH_REDIS__PORT']}"


def test_the_servers_come_up_in_order_and_a_part_can_be_added(terminal: Terminal) -> None:
    terminal.up("redis")
    redis_pid = terminal.status()["redis"].pid
    said = terminal.up("topics", "cassandra")
    assert said.index("kafka      ready") < said.index("topics     done")
    rows = terminal.status()
    assert {name: row.state for name, row in rows.items()} == {
        "cassandra": "ready",
        "redis": "ready",
        "kafka": "ready",
        "topics": "done",
    }
    assert rows["redis"].pid == redis_pid
    down = terminal.run("down").stdout
    assert {line.split()[0] for line in down.splitlines()[:-1]} == {"kafka", "redis", "cassandra"}
