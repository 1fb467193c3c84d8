"""What counts as ready, and which ports are free."""

import os
import random
import socket
from contextlib import closing
from pathlib import Path

import pytest

from infra.processes.ports import (
    PORT_VARIABLES,
    ListenPort,
    choose_free_ports,
    is_free,
    read_ports,
    write_ports,
)
from infra.processes.readiness import HeartbeatSeen, PortAnswers, every_task_runs, heartbeat_path
from schemas.errors import ConfigurationError

LOOPBACK = "127.0.0.1"


def job(state: str, running: int, total: int, finished: int = 0) -> dict[str, object]:
    return {"state": state, "tasks": {"running": running, "total": total, "finished": finished}}


@pytest.mark.parametrize(
    ("jobs", "ready"),
    [
        ([], False),
        ([job("RUNNING", 1, 4)], False),
        ([job("RUNNING", 0, 0)], False),
        ([job("FAILED", 4, 4)], False),
        ([job("RUNNING", 4, 4)], True),
        ([job("CANCELED", 0, 4), job("RUNNING", 4, 4)], True),
        ([job("RUNNING", 3, 4, finished=1)], True),
        ([job("RUNNING", 0, 4, finished=4)], False),
    ],
)
def test_a_flink_job_is_ready_when_every_task_runs(jobs: list[dict[str, object]], ready: bool) -> None:
    assert every_task_runs({"jobs": jobs}) is ready


def test_a_heartbeat_counts_only_from_this_launch(tmp_path: Path) -> None:
    heartbeat = heartbeat_path(tmp_path, "writer")
    check = HeartbeatSeen(heartbeat)
    assert not check.holds(launched_at_ms=0)
    heartbeat.touch()
    os.utime(heartbeat, (1_000, 1_000))
    assert check.holds(launched_at_ms=1_000_000)
    assert not check.holds(launched_at_ms=1_000_001)


def test_a_port_answers_while_somebody_listens() -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as server:
        port = server.getsockname()[1]
        assert PortAnswers(LOOPBACK, port).holds(launched_at_ms=0)
        assert not is_free(LOOPBACK, port)
    assert not PortAnswers(LOOPBACK, port).holds(launched_at_ms=0)
    assert is_free(LOOPBACK, port)


def test_a_taken_port_says_which_variable_moves_it() -> None:
    with closing(socket.create_server((LOOPBACK, 0))) as server:
        taken = ListenPort("FIRTH_KAFKA__PORT", LOOPBACK, server.getsockname()[1])
        with pytest.raises(ConfigurationError, match="set FIRTH_KAFKA__PORT to a free port"):
            taken.refuse_if_taken()


def test_chosen_ports_are_distinct_and_survive_their_file(tmp_path: Path) -> None:
    chosen = choose_free_ports(random.Random(7))
    assert len(set(chosen.values())) == len(PORT_VARIABLES)
    write_ports(tmp_path, chosen)
    assert read_ports(tmp_path) == chosen
    assert read_ports(tmp_path / "elsewhere") == {}
