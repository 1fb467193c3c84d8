"""Daily runs during the chaos: one as soon as a bucket has closed, some of them killed at a chosen moment."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from feature_repo.offline import offline_path
from feature_repo.views import VISITOR_HISTORY
from infra.processes.identity import ProcessIdentity, kill_session
from infra.settings import PROJECT_ROOT, Settings
from tests.chaos.schedule import Moment

POLL_S: Final = 0.01
LIMIT_S: Final = 420.0
RETRY_S: Final = 2.0
COMPUTES: Final = "daily: admission"
PUBLISHES: Final = "daily: artifact"
CUTOFF: Final = re.compile(r"below (\d+)")

Say = Callable[[str], None]


class DailyRun:
    """One process of `python -m batch daily`, in a session of its own."""

    def __init__(self, settings: Settings, log_path: Path, cutoff_ms: int | None = None) -> None:
        self._registry = settings.registry_path
        self._swapped = Path(offline_path(settings.offline_dir, VISITOR_HISTORY.name))
        asked = () if cutoff_ms is None else ("--cutoff-ms", str(cutoff_ms))
        self._log_path = log_path
        self._seen = log_path.stat().st_size if log_path.exists() else 0
        with log_path.open("ab") as log:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "batch", "daily", *asked),
                cwd=PROJECT_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.identity = ProcessIdentity.of(self.process.pid)
        self._before = self._marks()

    @property
    def lines(self) -> list[str]:
        """What it has said."""
        with self._log_path.open("rb") as log:
            log.seek(self._seen)
            return log.read().decode(errors="replace").splitlines()

    @property
    def cutoff_ms(self) -> int | None:
        """Where it cuts, once it has said so."""
        found = next((CUTOFF.search(line) for line in self.lines if line.startswith("daily: ")), None)
        return int(found[1]) if found else None

    def wait(self, moment: Moment | None, stopped: Callable[[], bool]) -> bool:
        """Until it ends; True when the moment came first, and then it is dead."""
        deadline = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            if moment is not None and self._has_come(moment):
                self.kill()
                return True
            if stopped() or time.monotonic() > deadline:
                self.kill()
            time.sleep(POLL_S)
        return False

    def kill(self) -> None:
        """End it and its JVM with -9."""
        kill_session(self.identity)
        self.process.wait()

    def _has_come(self, moment: Moment) -> bool:
        """Published is first the file, then the view of visitors with a note in the registry, then that of items."""
        file, registry = self._marks()
        match moment:
            case "computing":
                return any(line.startswith(COMPUTES) for line in self.lines)
            case "publishing":
                return file != self._before[0]
            case "half-published":
                return file != self._before[0] and registry != self._before[1]

    def _marks(self) -> tuple[int, int]:
        return _changed_at(self._swapped), _changed_at(self._registry)


@dataclass
class Dailies:
    """Runs one after the other, in a thread, from the first closed bucket on."""

    settings: Settings
    moments: Iterator[Moment | None]
    first_ms: int
    pause_s: float
    say: Say
    done: list[dict[str, Any]] = field(default_factory=list)
    killed: list[Moment] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._finishing = threading.Event()
        self._stopped = threading.Event()
        self._due: Moment | None = next(self.moments)
        self._again_ms: int | None = None
        self._running: DailyRun | None = None
        self._thread = threading.Thread(target=self._run, name="chaos-dailies", daemon=True)

    def start(self) -> None:
        """Begin to wait for a closed bucket."""
        self._thread.start()

    def finish(self, limit_s: float) -> bool:
        """Begin no further run but that of one that was killed; whether all came to their end in time."""
        self._finishing.set()
        self._thread.join(timeout=limit_s)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Kill what runs."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        with suppress(AttributeError):
            self._running.kill()  # type: ignore[union-attr]

    def run_one(self, moment: Moment | None = None, cutoff_ms: int | None = None) -> bool:
        """One run; True when it has ended well."""
        started_s = time.monotonic()
        self._running = run = DailyRun(self.settings, self.settings.logs_dir / "daily.log", cutoff_ms)
        was_killed = run.wait(moment, self._stopped.is_set)
        took_s = time.monotonic() - started_s
        if was_killed and moment is not None:
            self._again_ms = run.cutoff_ms
            self.killed.append(moment)
            self.say(f"daily of {run.cutoff_ms} killed when {moment}, after {took_s:.0f} s")
            return False
        last = (run.lines or [""])[-1]
        if run.process.returncode == 0:
            self.done.append(json.loads(last))
            self.say(f"daily of {run.cutoff_ms} done in {took_s:.0f} s")
            return True
        self.failed.append(last)
        self.say(f"daily of {run.cutoff_ms} failed after {took_s:.0f} s: {last:.300}")
        return False

    def _run(self) -> None:
        while not self._stopped.is_set():
            if self._again_ms is not None:
                if self.run_one(None, self._again_ms):
                    self._again_ms = None
                else:
                    self._stopped.wait(RETRY_S)
            elif self._finishing.is_set():
                return
            elif self._closed_ms() > self._covered_ms():
                self._next_run()
            else:
                self._stopped.wait(0.2)

    def _next_run(self) -> None:
        """A moment that a run failed to reach waits for the next one."""
        before = len(self.killed)
        ended = self.run_one(self._due)
        if len(self.killed) > before or (ended and self._due is None):
            self._due = next(self.moments)
        if ended:
            self._finishing.wait(self.pause_s)
        elif self._again_ms is None:
            self._stopped.wait(RETRY_S)

    def _closed_ms(self) -> int:
        now_ms = time.time_ns() // 1_000_000
        return self.settings.policies.bucket.last_closed_end(now_ms, self.settings.batch.closing_grace_ms)

    def _covered_ms(self) -> int:
        newest = max((found["cutoff_ms"] for found in self.done), default=0)
        return max(int(newest), self.settings.policies.bucket.start_of(self.first_ms))


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns ^ path.stat().st_ino
    except FileNotFoundError:
        return 0
