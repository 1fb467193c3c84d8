"""`python -m batch schedule`: the daily run at its time of day, for ever; what was missed is caught up with.

Each run is a process of its own, so that its memory goes back and its death is only a code. This process needs neither
Spark nor the lake: what is published and what has been run stands in files. Each decision is one line of its log.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Final, Protocol

from batch.daily_metrics import show_records
from batch.run import records
from batch.schedule_plan import Decision, Failures, Known, Start, Timetable, Wait, may_pass
from domain.manifests import published_cutoff_ms
from domain.policies import DAY_MS
from infra.metrics import DAILY_RUNS
from infra.processes.launch import bound_log
from infra.settings import PROJECT_ROOT, Settings
from schemas.errors import ConsistencyError

PULSE_S: Final = 2.0
"""So often the heartbeat is touched, and the clock and the running process are looked at."""

STOP_GRACE_S: Final = 10.0

log = logging.getLogger(__name__)


class Process(Protocol):
    """A daily run that was started."""

    def poll(self) -> int | None:
        """Its exit code, None while it goes on."""

    def stop(self) -> None:
        """End it; what it has done stays done."""


Begin = Callable[[Start], Process]


class DailyProcess:
    """`python -m batch daily`, whose words go to a log of all runs, bounded as those of the servers are."""

    def __init__(self, start: Start, log_path: Path) -> None:
        asked = () if start.day is None else ("--date", str(start.day), "--no-publish")
        bound_log(log_path)
        with log_path.open("ab") as output:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "batch", "daily", *asked),
                cwd=PROJECT_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def poll(self) -> int | None:
        return self._process.poll()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass
class Scheduler:
    """One look after the other: at the run that goes on, or at whether one is due."""

    settings: Settings
    begin: Begin
    clock: Callable[[], int]
    failures: Failures = field(default_factory=Failures)
    _running: tuple[Start, Process, int] | None = None
    _told: Decision | None = None

    def __post_init__(self) -> None:
        grace_ms = self.settings.batch.closing_grace_ms
        self._timetable = Timetable(self.settings.schedule, self.settings.policies.bucket, grace_ms)
        self._began_ms = self.clock()

    def look(self) -> None:
        """Do what is due now; never waits."""
        if self._running is not None:
            self._look_at_run()
            return
        decision = self._timetable.decide(self._known())
        if decision != self._told or isinstance(decision, Start):
            self._tell(decision)
        if isinstance(decision, Start):
            self._running = (decision, self.begin(decision), self.clock())

    def stop(self) -> None:
        """End the run that goes on; the next start continues it."""
        if self._running is not None:
            self._running[1].stop()
            log.info("daily.interrupted", extra={"why": "asked to stop; it goes on where it stopped"})
            self._running = None

    def _look_at_run(self) -> None:
        assert self._running is not None
        start, process, started_ms = self._running
        code = process.poll()
        if code is None:
            return
        self._running, took_s = None, round((self.clock() - started_ms) / 1_000, 1)
        show_records(records(self.settings.state_dir / "daily"))
        day = {"day": str(start.day)} if start.day else {}
        if code == 0:
            self.failures = Failures()
            DAILY_RUNS.labels("finished").inc()
            log.info("daily.finished", extra={"took_s": took_s, **day})
            return
        self.failures = self.failures.and_one(self.clock(), code)
        DAILY_RUNS.labels("failed").inc()
        facts = {"exit_code": code, "failures": self.failures.count, "took_s": took_s, **day}
        remedy = "it is tried again" if may_pass(code) else "a person must look: `python -m infra logs schedule`"
        log.error("daily.failed", extra={**facts, "log": str(daily_log(self.settings)), "remedy": remedy})

    def _known(self) -> Known:
        covered_ms = _covered_ms(self.settings)
        since_ms = (covered_ms or 0) - (self.settings.schedule.catch_up_days_max + 1) * DAY_MS
        done = [record for record in records(self.settings.state_dir / "daily", since_ms) if record.is_finished]
        return Known(
            now_ms=self.clock(),
            covered_ms=covered_ms,
            first_chance_ms=min(self._began_ms, _lake_made_ms(self.settings)),
            finished_ms=[record.pin.cutoff_ms for record in done],
            failures=self.failures,
        )

    def _tell(self, decision: Decision) -> None:
        self._told = decision
        match decision:
            case Start(why, day):
                log.info("daily.started", extra={"why": why, **({"day": str(day)} if day else {})})
            case Wait("given_up" as why, until_ms):
                log.error("daily.awaited", extra={"why": why, "until_ms": until_ms, "failures": self.failures.count})
            case Wait(why, until_ms):
                log.info("daily.awaited", extra={"why": why, "until_ms": until_ms})


def run_schedule(settings: Settings, stop: Event, heartbeat: Path) -> None:
    """Until `stop` is set."""
    heartbeat.parent.mkdir(parents=True, exist_ok=True)
    path = daily_log(settings)
    scheduler = Scheduler(settings, lambda start: DailyProcess(start, path), _now_ms)
    show_records(records(settings.state_dir / "daily"))
    try:
        while not stop.is_set():
            heartbeat.touch()
            scheduler.look()
            stop.wait(PULSE_S)
    finally:
        scheduler.stop()


def daily_log(settings: Settings) -> Path:
    """Where the runs that the schedule has started tell how they went."""
    return settings.logs_dir / "daily.log"


def _covered_ms(settings: Settings) -> int | None:
    """The published cutoff; one that nobody can read is none, and the next run writes it anew."""
    try:
        return published_cutoff_ms(settings.artifacts_dir)
    except ConsistencyError as error:
        log.warning("cutoff.unreadable", extra={"problem": str(error)})
        return None


def _lake_made_ms(settings: Settings) -> int:
    """When the lake got its first commit, before which there was nothing to publish: 0 when that is long ago."""
    commits = settings.lake_dir / "_delta_log"
    try:
        return (commits / f"{0:020}.json").stat().st_mtime_ns // 1_000_000
    except FileNotFoundError:
        return 0 if commits.exists() else sys.maxsize


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
