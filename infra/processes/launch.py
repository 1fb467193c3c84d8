"""Start a command as a process of its own session, with its output in a bounded log file."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from infra.processes import tether
from infra.processes.identity import ProcessIdentity, kill_session, stop_session
from infra.processes.ports import ListenPort
from infra.processes.readiness import ReadyCheck
from infra.settings import PROJECT_ROOT
from schemas.errors import DependencyError

READY_LIMIT_S: Final = 150.0
"""A JVM on a loaded machine takes its time."""

LOG_BYTES_MAX: Final = 8 * 1024 * 1024
LOG_LINES_SHOWN: Final = 15
READY_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """All that is needed to start a process and to know that it is ready.

    `ready` is None for a one-shot, which is done when it has exited with 0.
    """

    name: str
    argv: tuple[str, ...]
    log_path: Path
    ready: ReadyCheck | None
    ports: tuple[ListenPort, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_limit_s: float = READY_LIMIT_S
    grace_s: float = 20.0


class Child:
    """A process that we started. Its pid stays its own until `exit_code` or `stop` has collected it."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], log_start: int) -> None:
        self.command = command
        self.identity = ProcessIdentity.of(process.pid)
        self.launched_at_ms = time.time_ns() // 1_000_000
        self._process = process
        self._log_start = log_start

    @property
    def pid(self) -> int:
        """The pid, which is also the id of the process's session."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def is_ready(self) -> bool:
        """Ask once. A one-shot is ready when it has ended well."""
        if self.command.ready is None:
            return self.exit_code() == 0
        return self.exit_code() is None and self.command.ready.holds(self.launched_at_ms)

    def wait_ready(self, limit_s: float | None = None) -> None:
        """Return when it is ready. Raises DependencyError when it dies first or needs longer; then it is stopped."""
        limit_s = self.command.ready_limit_s if limit_s is None else limit_s
        deadline = time.monotonic() + limit_s
        while not self.is_ready():
            if self.exit_code() not in (None, 0):
                raise self.failure(f"ended with exit code {self.exit_code()} before it was ready")
            if time.monotonic() >= deadline:
                self.stop()
                raise self.failure(f"was not ready within {limit_s:.0f} s")
            time.sleep(READY_POLL_S)

    def failure(self, problem: str) -> DependencyError:
        """The error that shows what the process said last."""
        lines = "".join(f"\n    {line}" for line in self.last_log_lines())
        return DependencyError(self.command.name, problem, f"its log is {self.command.log_path}{lines}")

    def last_log_lines(self, count: int = LOG_LINES_SHOWN) -> list[str]:
        """What it wrote last, since it was launched."""
        with self.command.log_path.open("rb") as log:
            log.seek(self._log_start)
            return log.read(LOG_BYTES_MAX).decode(errors="replace").splitlines()[-count:]

    def kill(self) -> None:
        """End it and whatever it started, without asking."""
        kill_session(self.identity)
        self._process.wait()

    def stop(self) -> bool:
        """End it: ask, wait for its grace, then kill what is left. Returns False when something had to be killed."""
        stopped_cleanly = stop_session(self.identity, self.command.grace_s)
        self._process.wait()
        return stopped_cleanly


def launch(command: Command) -> Child:
    """Start the command. Raises ConfigurationError when a port of it is taken."""
    for port in command.ports:
        port.refuse_if_taken()
    bound_log(command.log_path)
    with command.log_path.open("ab") as log:
        log_start = log.tell()
        process = subprocess.Popen(
            (sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command.argv),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **command.environment},
            cwd=PROJECT_ROOT,
            start_new_session=True,
        )
    return Child(command, process, log_start)


def become(command: Command) -> NoReturn:
    """Turn this process into the command, in the foreground. Raises ConfigurationError when a port of it is taken."""
    for port in command.ports:
        port.refuse_if_taken()
    os.chdir(PROJECT_ROOT)
    os.execve(command.argv[0], command.argv, {**os.environ, **command.environment})


def bound_log(path: Path) -> None:
    """Make room for a log: keep at most one older file of about the maximal size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_suffix(".log.1"))
