"""One daily run on disk: a folder, a record of the steps that are done, and the lock that makes it the only one.

A step that is done is skipped; one that was killed is done again from its start. So a run that is started again goes on
where it stopped, and a finished one costs nothing.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from batch.cutoff import Cut
from domain.artifacts import catalogue_fingerprint
from domain.policies import Policies
from schemas.errors import DependencyError

KEPT: Final = 3
"""Runs whose folders stay on disk."""

Tell = Callable[[str], None]
Found = dict[str, Any]


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run is a function of. The logs only grow, so how many records are below the cutoff tells their content."""

    cutoff_ms: int
    first_bucket_ms: int
    records: int
    catalogue_fingerprint: str
    policies: Policies = Policies()
    impressions: int = 0


class StepDone(msgspec.Struct, frozen=True):
    """What a step found, and how long it took."""

    found: Found
    seconds: float


class Record(msgspec.Struct):
    """The file `run.json`."""

    pin: Pin
    lake_version: int
    steps: dict[str, StepDone] = {}


class AnotherRun(DependencyError):
    """Two runs must not compute or publish at once."""

    def __init__(self, path: Path) -> None:
        super().__init__("daily run", f"another one holds {path}", "wait until it has ended")


class Run:
    """A run that is going on."""

    def __init__(self, folder: Path, record: Record, tell: Tell) -> None:
        self.folder = folder
        self.record = record
        self._tell = tell

    @classmethod
    def open(cls, folder: Path, pin: Pin, lake_version: int, tell: Tell, *, fresh: bool = False) -> Run:
        """The run in `folder`; begun anew when asked to, or when what it is a function of has changed."""
        record = _read(folder / "run.json")
        if fresh or record is None or record.pin != pin:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            record = Record(pin, lake_version)
        elif record.steps:
            tell(f"daily: going on after {', '.join(record.steps)}")
        return cls(folder, record, tell)

    def is_done(self, name: str) -> bool:
        """Whether the step was done before."""
        return name in self.record.steps

    def step(self, name: str, work: Callable[[], Mapping[str, Any]]) -> Found:
        """Do the step unless it is done; returns what it found, now or then."""
        if not self.is_done(name):
            started = time.monotonic()
            self.note(name, dict(work()), started)
        return self.record.steps[name].found

    def note(self, name: str, found: Found, started_s: float) -> None:
        """Record a step that began at this monotonic time as done, and tell of it."""
        done = StepDone(found, round(time.monotonic() - started_s, 2))
        self.record.steps[name] = done
        self._write()
        facts = ", ".join(f"{value:,} {key}" for key, value in found.items() if isinstance(value, int))
        self._tell(f"daily: {name}: {facts or 'done'} in {done.seconds:.1f} s")

    def undo(self, name: str) -> None:
        """Forget that a step was done."""
        self.record.steps.pop(name, None)
        self._write()

    @property
    def seconds(self) -> dict[str, float]:
        """How long each step took when it was done."""
        return {name: done.seconds for name, done in self.record.steps.items()}

    def _write(self) -> None:
        waiting = self.folder / "run.json.waiting"
        waiting.write_bytes(msgspec.json.format(msgspec.json.encode(self.record)))
        waiting.replace(self.folder / "run.json")


def pin_of(cut: Cut, policies: Policies) -> Pin:
    """The pin of a run by the catalogue as it is now."""
    return Pin(
        cut.cutoff_ms, cut.first_bucket_ms, cut.records, catalogue_fingerprint(), policies, impressions=cut.impressions
    )


@contextmanager
def only_run(folder: Path) -> Iterator[None]:
    """Hold the lock; the kernel frees it when the process ends, however it ends.

    Raises:
        AnotherRun: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AnotherRun(path) from error
        yield


def prune(folder: Path) -> None:
    """Remove the folders of all but the newest cutoffs."""
    runs = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    for run in runs[:-KEPT]:
        shutil.rmtree(run)


def _read(path: Path) -> Record | None:
    """The record; None when there is none, or one of another version of the code."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
