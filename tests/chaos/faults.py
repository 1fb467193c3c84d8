"""Kill -9 of a service's process, found by the pid in the supervisor's record."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import psutil

from infra.processes.identity import ProcessIdentity, session_members
from infra.processes.record import HOPELESS, RunFolder
from infra.settings import Settings
from tests.chaos.schedule import SERVICE_OF, Target

PATIENCE_S: Final = 60.0
POLL_S: Final = 0.05
JAVA: Final = "java"
WIPED: Final[Mapping[Target, str]] = {"redis-wiped": "redis", "flink-wiped": "flink"}
"""What is removed from the state folder once the process is dead."""


class GaveUp(Exception):
    """A service is not there to be killed, and will not come back."""


class Injector:
    """Kills what it is told to; the supervisor starts it again."""

    def __init__(self, settings: Settings, stopped: Callable[[], bool]) -> None:
        self._settings = settings
        self._stopped = stopped
        self._folder = RunFolder(settings.run_dir)

    def kill(self, target: Target) -> list[int]:
        """Kill the target as soon as it lives; returns the pids. Raises GaveUp when it does not within a minute."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._stopped():
            victims = self._victims(target)
            if victims:
                killed = [victim.pid for victim in victims if _kill(victim)]
                if target in WIPED:  # the supervisor waits for a second at least before it starts anything again
                    shutil.rmtree(self._settings.state_dir / WIPED[target], ignore_errors=True)
                return killed
            if time.monotonic() > deadline:
                raise GaveUp(f"{target}: no process within {PATIENCE_S:.0f} s")
            time.sleep(POLL_S)
        return []

    def _victims(self, target: Target) -> list[psutil.Process]:
        record = self._folder.service(SERVICE_OF[target])
        if record is None or record.state in HOPELESS:
            raise GaveUp(f"{target}: {record.detail if record else 'was never started'}")
        if record.identity is None or not record.identity.is_running():
            return []
        return _chosen(target, record.identity)


def _chosen(target: Target, leader: ProcessIdentity) -> list[psutil.Process]:
    """Of the service's session the JVM alone, the leader alone, or all of it."""
    members = list(session_members(leader))
    match target:
        case "flink-jvm":
            return [member for member in members if member.pid != leader.pid and _is_java(member)]
        case "flink-client":
            return [member for member in members if member.pid == leader.pid]
    return members


def _is_java(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.name() == JAVA
    return False


def _kill(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
        return True
    return False
