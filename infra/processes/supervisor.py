"""The supervisor: a background process that starts services in order, restarts the dead and stops all at the end.

`python -m infra up` starts it; `python -m infra.processes.supervisor` is it. It has one thread, on purpose: the
kernel ties a child to the thread that made it (see `tether`).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

from infra import logs
from infra.exits import run_command
from infra.processes.identity import ProcessIdentity, session_members, stop_session
from infra.processes.plan import SERVICES, Service, with_dependencies
from infra.processes.record import HOPELESS, USABLE, RunFolder, ServiceRecord, State, SupervisorRecord
from infra.processes.restarts import RestartPolicy
from infra.processes.watch import Watch
from infra.settings import Settings, load_settings

log = logging.getLogger(__name__)

BUSY_PERIOD_S: Final = 0.2
QUIET_PERIOD_S: Final = 0.5
LEFTOVER_GRACE_S: Final = 30.0


class Supervisor:
    """Keeps the requested services running until it is told to stop."""

    def __init__(self, settings: Settings, services: Sequence[Service], policy: RestartPolicy) -> None:
        self._settings = settings
        self._services = services
        self._policy = policy
        self._folder = RunFolder(settings.run_dir)
        self._watches: dict[str, Watch] = {}
        self._written: dict[str, ServiceRecord] = {}
        self._request_taken = -1
        self._stopping = False

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT. Returns at once when another supervisor lives."""
        with self._folder.supervising() as mine:
            if not mine:
                log.warning("supervisor.refused", extra={"reason": "another one lives"})
                return 0
            signal.signal(signal.SIGTERM, self._ask_to_stop)
            signal.signal(signal.SIGINT, self._ask_to_stop)
            self._introduce()
            end_leftovers(self._folder, self._services)
            log.info("supervisor.started", extra={"pid": os.getpid(), "state_dir": str(self._settings.state_dir)})
            while not self._stopping:
                self._take_up_request()
                self._step()
                time.sleep(QUIET_PERIOD_S if self._is_settled() else BUSY_PERIOD_S)
            self._stop_all()
            log.info("supervisor.stopped")
        return 0

    def _introduce(self) -> None:
        self._folder.write_supervisor(SupervisorRecord(ProcessIdentity.of(os.getpid()), self._request_taken))

    def _take_up_request(self) -> None:
        request = self._folder.request()
        if request is None or request.number <= self._request_taken:
            return
        for service in with_dependencies(request.services, self._services):
            watch = self._watches.setdefault(service.name, Watch(service, self._settings, self._policy))
            watch.retry()
        for name in request.restart:
            if name in self._watches:
                self._watches[name].restart()
        self._publish()
        self._request_taken = request.number
        self._introduce()

    def _step(self) -> None:
        for watch in self._watches.values():
            watch.step(time.time_ns() // 1_000_000, [self._watches[name].record for name in watch.service.depends_on])
            self._publish()

    def _stop_all(self) -> None:
        """The last started first, so that each still finds what it needs while it ends."""
        for watch in reversed(self._watches.values()):
            watch.mark_stopping()
            self._publish()
            watch.stop()
            self._publish()

    def _publish(self) -> None:
        """Write the records that have changed."""
        for name, watch in self._watches.items():
            if self._written.get(name) != watch.record:
                self._folder.write_service(watch.record)
                self._written[name] = watch.record

    def _is_settled(self) -> bool:
        return all(watch.record.state in USABLE | HOPELESS for watch in self._watches.values())

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True


def end_leftovers(folder: RunFolder, services: Sequence[Service] = SERVICES) -> list[str]:
    """End what a killed supervisor left running; returns the names. Call it only while no supervisor lives.

    A recorded pid is trusted only with its start time, so a process that got the same pid later is left alone.
    """
    ended = []
    for service in reversed(services):
        record = folder.service(service.name)
        if record is None or record.identity is None:
            continue
        if next(session_members(record.identity), None) is not None:
            stop_session(record.identity, LEFTOVER_GRACE_S)
            ended.append(service.name)
        folder.write_service(ServiceRecord(service=service.name, state=State.STOPPED))
    return ended


def main() -> int:
    """Supervise the configured instance."""
    settings = load_settings()
    logs.configure("supervisor")
    return Supervisor(settings, SERVICES, RestartPolicy()).run()


if __name__ == "__main__":
    sys.exit(run_command(main))
