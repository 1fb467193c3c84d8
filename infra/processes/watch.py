"""One service under supervision: a small state machine, moved one step at a time."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, field

from msgspec.structs import replace

from infra.processes.launch import LOG_LINES_SHOWN, Child, launch
from infra.processes.plan import Service
from infra.processes.record import HOPELESS, USABLE, ServiceRecord, State
from infra.processes.restarts import RestartHistory, RestartPolicy
from infra.settings import Settings
from schemas.errors import PlatformError

log = logging.getLogger(__name__)


@dataclass
class Watch:
    """The service's process, if any, its record as others see it, and how often it was started again."""

    service: Service
    settings: Settings
    policy: RestartPolicy
    record: ServiceRecord = field(init=False)
    child: Child | None = None
    history: RestartHistory = field(default_factory=RestartHistory)
    was_ready: bool = False
    start_at_ms: int = 0

    def __post_init__(self) -> None:
        self.record = ServiceRecord(service=self.service.name)

    def step(self, now_ms: int, needed: Collection[ServiceRecord]) -> None:
        """Look once and do what is due: start, notice that it is ready, notice that it died, start again."""
        match self.record.state:
            case State.WAITING | State.BLOCKED:
                self._start_when_possible(now_ms, needed)
            case State.BACKING_OFF:
                if now_ms >= self.start_at_ms:
                    self.history = self.history.restarted(now_ms)
                    self._start(now_ms)
            case State.STARTING:
                self._see_whether_ready(now_ms)
            case State.READY:
                self._see_whether_alive(now_ms)

    def retry(self) -> None:
        """Give a failed service new chances; others are left alone."""
        if self.record.state in HOPELESS:
            self.history = RestartHistory()
            self._become(State.WAITING, detail="")

    def mark_stopping(self) -> None:
        """Tell that `stop` comes next."""
        if self.child is not None and self.child.exit_code() is None:
            self._become(State.STOPPING)

    def stop(self) -> None:
        """End its process and whatever that started."""
        if self.child is not None:
            clean = self.child.stop()
            log.info("service.stopped", extra={"service_name": self.service.name, "was_asked_only": clean})
            self.child = None
        self._become(State.STOPPED, identity=None)

    def restart(self) -> None:
        """Stop it and let it start again. That was wished: it counts as no death."""
        self.mark_stopping()
        self.stop()
        self._become(State.WAITING, detail="asked to start again")

    def _start_when_possible(self, now_ms: int, needed: Collection[ServiceRecord]) -> None:
        missing = [record for record in needed if record.state not in USABLE]
        hopeless = [record.service for record in missing if record.state in HOPELESS]
        if hopeless:
            self._become(State.BLOCKED, detail=f"needs {', '.join(hopeless)}")
        elif missing:
            self._become(State.WAITING, detail=f"for {', '.join(record.service for record in missing)}")
        else:
            self._start(now_ms)

    def _start(self, now_ms: int) -> None:
        try:
            command = self.service.command(self.settings)
            self.child = launch(command)
        except (PlatformError, OSError) as error:
            self._handle_death(now_ms, str(error), can_repeat=self.was_ready)
            return
        address = f"{command.ports[0].host}:{command.ports[0].port}" if command.ports else ""
        self._become(
            State.STARTING,
            identity=self.child.identity,
            address=address,
            ready_after_ms=None,
            restarts=len(self.history.restarted_at_ms),
            detail="",
        )
        log.info("service.started", extra={"service_name": self.service.name, "pid": self.child.pid})

    def _see_whether_ready(self, now_ms: int) -> None:
        assert self.child is not None
        waited_ms = now_ms - self.child.launched_at_ms
        if self.child.is_ready():
            self.was_ready = True
            if self.child.command.ready is None:
                self.child = None
                self._become(State.DONE, ready_after_ms=waited_ms, identity=None)
            else:
                self._become(State.READY, ready_after_ms=waited_ms)
            log.info("service.readied", extra={"service_name": self.service.name, "ready_after_ms": waited_ms})
        elif waited_ms > self.child.command.ready_limit_s * 1000:
            self.child.kill()
            self._handle_death(now_ms, f"was not ready within {waited_ms / 1000:.0f} s")
        else:
            self._see_whether_alive(now_ms)

    def _see_whether_alive(self, now_ms: int) -> None:
        assert self.child is not None
        code = self.child.exit_code()
        if code is not None:
            self.child.kill()  # what it started may outlive it and hold its port
            ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            lines = "".join(f"\n    {line}" for line in self.child.last_log_lines(LOG_LINES_SHOWN))
            self._handle_death(now_ms, f"{ended}; its log is {self.child.command.log_path}{lines}")

    def _handle_death(self, now_ms: int, detail: str, *, can_repeat: bool = True) -> None:
        self.child = None
        start_at_ms = self.history.next_start_at_ms(now_ms, was_ready=self.was_ready, policy=self.policy)
        log.warning("service.died", extra={"service_name": self.service.name, "detail": detail, "restart": can_repeat})
        if start_at_ms is None or not can_repeat:
            self._become(State.FAILED, identity=None, detail=detail)
        else:
            self.start_at_ms = start_at_ms
            self._become(State.BACKING_OFF, identity=None, detail=detail)

    def _become(self, state: State, **changes: object) -> None:
        self.record = replace(self.record, state=state, **changes)
