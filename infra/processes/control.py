"""What a person does with the services: bring them up, take them down, look at them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import psutil

from infra.processes import ports
from infra.processes.identity import ProcessIdentity, kill_session, session_members, stop_session
from infra.processes.launch import bound_log
from infra.processes.plan import SERVICES, Service, with_dependencies
from infra.processes.record import HOPELESS, USABLE, Request, RunFolder, ServiceRecord, State
from infra.processes.supervisor import end_leftovers
from infra.settings import PROJECT_ROOT, Settings
from schemas.errors import DependencyError

Say = Callable[[str], None]

POLL_S: Final = 0.1
DOWN_LIMIT_S: Final = 180.0
EXIT_GRACE_S: Final = 20.0
"""For an interpreter to end on a loaded machine, once it has nothing left to do."""


def say_now(line: str) -> None:
    """Print a progress line at once, also into a pipe."""
    print(line, flush=True)


def up(settings: Settings, names: Sequence[str] = (), *, free_ports: bool = False, say: Say = say_now) -> None:
    """Bring the named services (all of them when none is named) and what they need up; return when all are ready.

    Raises:
        DependencyError: a service failed; the others stay up.
    """
    folder = RunFolder(settings.run_dir)
    services = with_dependencies(names or [service.name for service in SERVICES])
    with folder.deciding():
        request = _ask_for(folder, services)
        if not folder.is_supervised():
            _start_supervisor(settings, folder, free_ports)
    say(f"starting {', '.join(service.name for service in services)}; their logs are in {settings.logs_dir}")
    started = time.monotonic()
    records = list(_settled(folder, services, request, say))
    failed = [record for record in records if record.state in HOPELESS]
    if failed:
        first = min(failed, key=lambda record: record.state != State.FAILED)
        raise DependencyError(first.service, first.detail, "the other services stay up; repair it and run `up` again")
    say(f"up: {len(records)} services in {time.monotonic() - started:.1f} s")


def restart(settings: Settings, names: Sequence[str], *, say: Say = say_now) -> None:
    """Stop and start the named services once; return when they are ready again. What needs them runs on.

    Raises:
        DependencyError: no supervisor runs, or a service failed.
        ConfigurationError: a name is not in the table.
    """
    folder = RunFolder(settings.run_dir)
    services = [service for service in with_dependencies(names) if service.name in names]
    with folder.deciding():
        if not folder.is_supervised():
            raise DependencyError("supervisor", "none is running", "start the platform: `python -m infra up`")
        request = _ask_for(folder, services, restart=tuple(names))
    for record in _settled(folder, services, request, say):
        if record.state in HOPELESS:
            raise DependencyError(record.service, record.detail, "repair it and run `python -m infra up`")


def down(settings: Settings, *, say: Say = say_now) -> None:
    """Stop everything, in reverse order; also what a killed supervisor left. Nothing of ours runs afterwards."""
    folder = RunFolder(settings.run_dir)
    if not settings.run_dir.exists():
        say("down: nothing was running")
        return
    started = time.monotonic()
    with folder.deciding():
        _stop_supervisor(folder, say)
        for name in end_leftovers(folder):
            say(f"  {name:<10} ended, its supervisor was gone")
        folder.clear()
    say(f"down: nothing is left running ({time.monotonic() - started:.1f} s)")


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """A line of the status table."""

    service: str
    state: str
    pid: int | None
    uptime_s: int | None
    restarts: int
    address: str
    memory_mb: int | None
    detail: str


def status(settings: Settings) -> list[ServiceStatus]:
    """What the services of the table are doing, in its order; empty when nothing was brought up."""
    folder = RunFolder(settings.run_dir)
    supervised = folder.is_supervised()
    records = (folder.service(service.name) for service in SERVICES)
    return [_status_of(record, supervised) for record in records if record is not None]


def _status_of(record: ServiceRecord, supervised: bool) -> ServiceStatus:
    members = list(session_members(record.identity)) if record.identity else []
    is_lost = not supervised and record.state not in (State.STOPPED, State.DONE)
    state = record.state.value if not is_lost else ("orphaned" if members else "gone")
    identity = record.identity if members else None
    return ServiceStatus(
        service=record.service,
        state=state,
        pid=identity.pid if identity else None,
        uptime_s=int(time.time() - identity.started_at_ms / 1000) if identity else None,
        restarts=record.restarts,
        address=record.address,
        memory_mb=_memory_bytes(members) // 2**20 if members else None,
        detail=record.detail.partition("\n")[0],
    )


def _memory_bytes(processes: Sequence[psutil.Process]) -> int:
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def _ask_for(folder: RunFolder, services: Sequence[Service], *, restart: tuple[str, ...] = ()) -> int:
    """Leave a request for the supervisor; one that runs keeps what it was asked for before."""
    before = folder.request()
    kept = before.services if before is not None and folder.is_supervised() else ()
    number = before.number + 1 if before is not None else 0
    names = {*kept, *(service.name for service in services)}
    wanted = tuple(service.name for service in SERVICES if service.name in names)
    folder.write_request(Request(number, wanted, (*_not_taken_up(folder, before), *restart)))
    return number


def _not_taken_up(folder: RunFolder, before: Request | None) -> tuple[str, ...]:
    """The restarts of a request that the supervisor has not seen yet."""
    supervisor = folder.supervisor()
    is_seen = before is None or supervisor is None or supervisor.request >= before.number
    return () if before is None or is_seen else before.restart


def _start_supervisor(settings: Settings, folder: RunFolder, free_ports: bool) -> None:
    """Start the supervisor in the background and return when it has taken its place.

    Raises:
        DependencyError: it ended at once.
    """
    ports.ports_file(settings.run_dir).unlink(missing_ok=True)
    chosen = ports.choose_free_ports(random.Random()) if free_ports else {}
    if chosen:
        ports.write_ports(settings.run_dir, chosen)
    log_path = settings.logs_dir / "supervisor.log"
    bound_log(log_path)
    with log_path.open("ab") as log:
        daemon = subprocess.Popen(
            (sys.executable, "-m", "infra.processes.supervisor"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=PROJECT_ROOT,
            env={**os.environ, **chosen, "FIRTH_STATE_DIR": str(settings.state_dir.absolute())},
            start_new_session=True,
        )
    while not folder.is_supervised():
        if daemon.poll() is not None:
            raise DependencyError("supervisor", f"ended with exit code {daemon.returncode}", f"its log is {log_path}")
        time.sleep(POLL_S)


def _settled(folder: RunFolder, services: Sequence[Service], request: int, say: Say) -> Iterator[ServiceRecord]:
    """The record of each service as soon as it is ready or hopeless, with a line said for each."""
    open_names = [service.name for service in services]
    while open_names:
        supervisor = folder.supervisor()
        if supervisor is not None and supervisor.request >= request:
            for record in [found for name in open_names if (found := folder.service(name)) is not None]:
                if record.state in USABLE | HOPELESS:
                    open_names.remove(record.service)
                    say(_progress_line(record))
                    yield record
        if not folder.is_supervised():
            raise DependencyError(
                "supervisor", "it ended", "look at `python -m infra logs supervisor` and run `up` again"
            )
        if open_names:
            time.sleep(POLL_S)


def _progress_line(record: ServiceRecord) -> str:
    if record.state in HOPELESS:
        return f"  {record.service:<10} {record.state}"
    seconds = (record.ready_after_ms or 0) / 1000
    return f"  {record.service:<10} {record.state:<6} {seconds:6.1f} s  {record.address}".rstrip()


def _stop_supervisor(folder: RunFolder, say: Say) -> None:
    """Ask the supervisor, if one lives, to stop everything, and tell how it goes on."""
    running = [service.name for service in reversed(SERVICES) if (r := folder.service(service.name)) and r.identity]
    asked: ProcessIdentity | None = None
    deadline = time.monotonic() + DOWN_LIMIT_S
    while folder.is_supervised():
        supervisor = folder.supervisor()
        if asked is None and supervisor is not None and supervisor.identity.is_running():
            asked = supervisor.identity
            os.kill(asked.pid, signal.SIGTERM)
        for name in [name for name in running if _is_stopped(folder.service(name))]:
            running.remove(name)
            say(f"  {name:<10} stopped")
        if asked is not None and time.monotonic() >= deadline:
            kill_session(asked)
        time.sleep(POLL_S)
    for name in [name for name in running if _is_stopped(folder.service(name))]:
        say(f"  {name:<10} stopped")
    if asked is not None:
        stop_session(asked, EXIT_GRACE_S)


def _is_stopped(record: ServiceRecord | None) -> bool:
    return record is None or record.state == State.STOPPED
