"""What is asked of the supervisor, over its own file."""

from __future__ import annotations

import os
from pathlib import Path

from infra.processes.control import _ask_for
from infra.processes.identity import ProcessIdentity
from infra.processes.plan import with_dependencies
from infra.processes.record import Request, RunFolder, SupervisorRecord


def request(folder: RunFolder) -> Request:
    found = folder.request()
    assert found is not None
    return found


def test_a_restart_that_is_not_taken_up_yet_is_asked_for_again_by_the_next_request(tmp_path: Path) -> None:
    folder, redis = RunFolder(tmp_path), with_dependencies(["redis"])
    folder.write_supervisor(SupervisorRecord(ProcessIdentity.of(os.getpid()), request=-1))
    _ask_for(folder, redis, restart=("redis",))
    number = _ask_for(folder, redis)
    assert request(folder) == Request(number, ("redis",), ("redis",))


def test_a_restart_that_was_taken_up_is_not_repeated(tmp_path: Path) -> None:
    folder, redis = RunFolder(tmp_path), with_dependencies(["redis"])
    number = _ask_for(folder, redis, restart=("redis",))
    folder.write_supervisor(SupervisorRecord(ProcessIdentity.of(os.getpid()), request=number))
    _ask_for(folder, redis)
    assert request(folder).restart == ()
