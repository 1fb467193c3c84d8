"""What the supervisor and the command line tell each other: small JSON files in the run folder, replaced atomically."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Final, TextIO, TypeVar

import msgspec

from infra.processes.identity import ProcessIdentity

GLANCE_LIMIT_S: Final = 1.0
"""Whoever asks whether a supervisor lives holds the lock for an instant, which must not refuse a starting one."""


class State(StrEnum):
    """Where a service is between asked for and stopped."""

    WAITING = "waiting"  # for what it depends on
    STARTING = "starting"
    READY = "ready"
    DONE = "done"  # a one-shot that has succeeded
    BACKING_OFF = "backing off"  # it died and will be started again
    FAILED = "failed"  # it died too often, or could not be started
    BLOCKED = "blocked"  # something that it depends on has failed
    STOPPING = "stopping"
    STOPPED = "stopped"


USABLE = frozenset({State.READY, State.DONE})
HOPELESS = frozenset({State.FAILED, State.BLOCKED})


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one service. `identity` stays until the process and all that it started are gone."""

    service: str
    state: State = State.WAITING
    identity: ProcessIdentity | None = None
    address: str = ""
    ready_after_ms: int | None = None
    restarts: int = 0
    detail: str = ""


class SupervisorRecord(msgspec.Struct, frozen=True):
    """Who supervises, and the number of the last request that it has taken up."""

    identity: ProcessIdentity
    request: int


class Request(msgspec.Struct, frozen=True):
    """What shall run, and what of it shall be stopped and started once.

    A higher number than the last one taken up also retries what has failed.
    """

    number: int
    services: tuple[str, ...]
    restart: tuple[str, ...] = ()


Record = TypeVar("Record", ServiceRecord, SupervisorRecord, Request)


class RunFolder:
    """The run folder of an instance: its records and the lock that a living supervisor holds."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def service(self, name: str) -> ServiceRecord | None:
        return self._read(name, ServiceRecord)

    def supervisor(self) -> SupervisorRecord | None:
        return self._read("supervisor", SupervisorRecord)

    def request(self) -> Request | None:
        return self._read("request", Request)

    def write_service(self, record: ServiceRecord) -> None:
        self._write(record.service, record)

    def write_supervisor(self, record: SupervisorRecord) -> None:
        self._write("supervisor", record)

    def write_request(self, record: Request) -> None:
        self._write("request", record)

    def clear(self) -> None:
        """Forget everything but the locks."""
        for path in self.path.iterdir():
            if path.suffix != ".lock":
                path.unlink()

    @contextmanager
    def supervising(self) -> Iterator[bool]:
        """Hold the lock of the supervisor; yields False when another process holds it for longer than a glance.

        The kernel releases the lock with the process, so it tells the truth even after a kill -9.
        """
        with self._lock_file("supervisor") as lock:
            deadline = time.monotonic() + GLANCE_LIMIT_S
            while not (locked := _try_lock(lock, fcntl.LOCK_EX)) and time.monotonic() < deadline:
                time.sleep(GLANCE_LIMIT_S / 20)
            yield locked

    def is_supervised(self) -> bool:
        """Whether a supervisor lives."""
        if not self.path.exists():
            return False
        with self._lock_file("supervisor") as lock:
            return not _try_lock(lock, fcntl.LOCK_SH)

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Wait for and hold the lock of those who start or stop the supervisor, so that they take turns."""
        with self._lock_file("decision") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _lock_file(self, name: str) -> TextIO:
        self.path.mkdir(parents=True, exist_ok=True)
        return (self.path / f"{name}.lock").open("a")

    def _read(self, name: str, kind: type[Record]) -> Record | None:
        try:
            return msgspec.json.decode((self.path / f"{name}.json").read_bytes(), type=kind)
        except FileNotFoundError:
            return None

    def _write(self, name: str, record: msgspec.Struct) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        unfinished = self.path / f".{name}.json.{os.getpid()}"
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")
        unfinished.replace(self.path / f"{name}.json")


def _try_lock(lock: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
