"""`python -m tests.side_by_side [TIER ...]`: the tests in groups, as many at once as there are cores for.

A group is one pytest with real servers of its own. For much of its time it waits, for a JVM to start or for a bucket to
close, and meanwhile another one has the cores. Each is shown when it is done; until then what it says goes into
`.firth/tests/GROUP.log`. All groups run, whatever fails.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from threading import Event
from types import FrameType
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LOGS: Final = ROOT / ".firth" / "tests"
AT_ONCE_MAX: Final = 3
"""However many cores there are: a group may need 5 GB."""

MAIN: Final = ".venv/main/bin/python"
SPEED: Final = ".venv/speed/bin/python"
FOLDERS: Final = {
    "unit": ("tests/unit", "tests/property", "tests/benchmark"),
    "integration": ("tests/suites", "tests/integration"),
    "e2e": ("tests/e2e", "tests/chaos"),
}
IN_BOTH: Final = ("tests/unit/schemas", "tests/unit/domain", "tests/property")
"""What runs in the speed environment too: all that Flink imports."""

MAIN_ONLY: Final = ("recommenders", "test_artifacts", "test_session_knn")
"""But for these, which are numba."""


@dataclass(frozen=True, slots=True)
class Group:
    """The test files of a tier that match a pattern; without patterns, those that no other group of the tier takes."""

    name: str
    tier: str
    patterns: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    python: str = MAIN


GROUPS: Final = (
    Group("speed-environment", "unit", ("tests/unit/speed/job/*",), python=SPEED),
    Group("unit-batch", "unit", ("tests/unit/batch/*",)),
    Group("unit", "unit", before=("infra/monitoring/promtool.sh",)),
    Group("chaos", "e2e", ("tests/chaos/*",)),
    Group("stream", "integration", ("*/test_speed_[!c]*", "*/test_speed_cluster*", "*/test_processes_*")),
    Group("e2e", "e2e", before=("infra/browser.sh",)),
    Group(
        "history",
        "integration",
        ("*/test_spark_features*", "*/test_impressions*", "*/test_point_in_time*", "*/test_archiver*"),
    ),
    Group("batch", "integration"),
    Group("stores", "integration", ("tests/suites/*", "*/test_speed_commands*", "*/test_parity*", "*/test_feast*")),
)
"""In the order in which they start: what is quick, then what takes long, so that the last ones end together."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a group went; `cpu_s` is what it and all that it has started and waited for took."""

    group: Group
    code: int
    wall_s: float
    cpu_s: float

    def line(self) -> str:
        """One line for a person."""
        verdict = "passed" if self.code == 0 else f"FAILED ({self.code})"
        return f"{self.group.name:18} {verdict:12} {self.wall_s:6.0f} s, {self.cpu_s:6.0f} s of CPU"


def files_of(group: Group) -> list[str]:
    """The group's test files, below the root. Each file is in one group of its tier."""
    found = sorted(
        str(path.relative_to(ROOT)) for folder in FOLDERS[group.tier] for path in (ROOT / folder).rglob("test_*.py")
    )
    both = [path for path in found if path.startswith(IN_BOTH) and not any(name in path for name in MAIN_ONLY)]
    return [path for path in found if _owner(path, group.tier) == group] + (both if group.python == SPEED else [])


def _owner(path: str, tier: str) -> Group:
    """The first group with a pattern that matches, else the one without patterns."""
    groups = [group for group in GROUPS if group.tier == tier]
    matching = [group for group in groups if any(fnmatch(path, pattern) for pattern in group.patterns)]
    return (matching or [group for group in groups if not group.patterns])[0]


class Runner:
    """Runs groups, and ends what still runs when it is told to stop."""

    def __init__(self) -> None:
        self._stopped = Event()
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(self, group: Group) -> Outcome:
        """Run one group, whose output goes to its log."""
        started, cpu_s = time.monotonic(), 0.0
        code = 0
        with log_of(group).open("wb") as log:
            for command in (group.before, pytest_of(group)):
                if command and not code and not self._stopped.is_set():
                    # In a process group of its own, so that an interrupt at the terminal reaches it once: from `stop`.
                    process = subprocess.Popen(
                        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0
                    )
                    self._running.add(process)
                    _, status, usage = os.wait4(process.pid, 0)
                    process.returncode = code = os.waitstatus_to_exitcode(status)
                    self._running.discard(process)
                    cpu_s += usage.ru_utime + usage.ru_stime
        return Outcome(group, 130 if self._stopped.is_set() else code, time.monotonic() - started, cpu_s)

    def stop(self) -> None:
        """Start nothing more, and interrupt what runs: pytest then stops its servers."""
        self._stopped.set()
        for process in list(self._running):
            os.kill(process.pid, signal.SIGINT)


def pytest_of(group: Group) -> tuple[str, ...]:
    """The command of a group, which names files: without any pytest would run all that there are."""
    files = files_of(group)
    assert files, f"the group {group.name} has no tests"
    return str(ROOT / group.python), "-m", "pytest", *files


def log_of(group: Group) -> Path:
    """Where a group says what it does."""
    return LOGS / f"{group.name}.log"


def run_all(groups: Sequence[Group], at_once: int) -> list[Outcome]:
    """Run the groups and show each when it is done; the outcomes in that order."""
    LOGS.mkdir(parents=True, exist_ok=True)
    runner, outcomes = Runner(), list[Outcome]()
    with ThreadPoolExecutor(at_once) as threads:
        begun = [threads.submit(runner.run, group) for group in groups]
        try:
            for done in as_completed(begun):
                outcomes.append(done.result())
                show(outcomes[-1])
        except KeyboardInterrupt:
            runner.stop()
            raise
    return outcomes


def show(outcome: Outcome) -> None:
    """What the group has said, between two lines that name it."""
    print(f"\n===== {outcome.group.name} =====", flush=True)
    sys.stdout.buffer.write(log_of(outcome.group).read_bytes())
    print(f"===== {outcome.line()}", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def asked_for(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The tiers, all of them unless some are named, and how many groups run at once."""
    parser = argparse.ArgumentParser(prog="python -m tests.side_by_side", description=__doc__)
    parser.add_argument("tier", nargs="*", metavar="TIER", help=f"{', '.join(FOLDERS)} (all of them)")
    most = min(AT_ONCE_MAX, os.cpu_count() or 1)
    parser.add_argument("--at-once", type=int, default=most, metavar="N", help=f"groups at the same time ({most})")
    options = parser.parse_args(arguments)
    options.tier = options.tier or list(FOLDERS)  # argparse itself cannot choose from a list that may be empty
    if unknown := set(options.tier) - FOLDERS.keys():
        parser.error(f"there is no tier {', '.join(sorted(unknown))}; name some of {', '.join(FOLDERS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when all groups have passed."""
    options = asked_for(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    started = time.monotonic()
    outcomes = run_all([group for group in GROUPS if group.tier in options.tier], options.at_once)
    print("\n" + "\n".join(outcome.line() for outcome in outcomes))
    print(f"all of it took {time.monotonic() - started:.0f} s")
    return 1 if any(outcome.code for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
