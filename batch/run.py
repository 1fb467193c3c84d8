"""One daily run on disk: a folder, a record of the steps that are done, and the lock that makes it the only one.

A step that is done is skipped; one that was killed is done again from its start. So a run that is started again goes on
where it stopped, and a finished one costs nothing. Old folders go; their records, a few KB a day, stay for a year.
"""

from __future__ import annotations

import dataclasses
import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from domain.objectives import Objectives
from domain.policies import Policies
from schemas import topics
from schemas.errors import DependencyError

if TYPE_CHECKING:
    from batch.cutoff import Cut
    from infra.settings import Settings

KEPT: Final = 3
"""Runs whose folders stay on disk."""

RECORDS_KEPT: Final = 400
"""Records of runs whose folders have gone: more than the days that a schedule can be told to catch up with (366)."""

RECORD: Final = "run.json"
RECORDS: Final = "records"
POLL_S: Final = 0.5

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
    objectives: Objectives = Objectives()


class StepDone(msgspec.Struct, frozen=True):
    """What a step found, and how long it took."""

    found: Found
    seconds: float


class Record(msgspec.Struct):
    """The file `run.json`. The versions are those of the tables that the run reads, from its first step to its last."""

    pin: Pin
    lake_version: int
    steps: dict[str, StepDone] = {}
    impressions_version: int | None = None
    started_at_ms: int = 0
    ended_at_ms: int | None = None
    failure: str = ""

    def pinned(self, cut: Cut) -> Cut:
        """The cut in the versions of the tables that this run reads."""
        shown = cut.impressions_version if self.impressions_version is None else self.impressions_version
        return dataclasses.replace(cut, lake_version=self.lake_version, impressions_version=shown)

    @property
    def is_finished(self) -> bool:
        """Whether it came to its end."""
        return self.ended_at_ms is not None and not self.failure

    @property
    def is_published(self) -> bool:
        """Whether its rows were published."""
        return "publish" in self.steps


class AnotherRun(DependencyError):
    """Two runs must not compute or publish at once."""

    def __init__(self, path: Path) -> None:
        super().__init__("daily run", f"another one holds {path}", "wait until it has ended, or give it --wait SECONDS")


class Run:
    """A run that is going on."""

    def __init__(self, folder: Path, record: Record, tell: Tell) -> None:
        self.folder = folder
        self.record = record
        self.tell = tell

    @classmethod
    def open(cls, folder: Path, pin: Pin, cut: Cut, tell: Tell, *, fresh: bool = False) -> Run:
        """The run in `folder`; begun anew when asked to, or when what it is a function of has changed."""
        record = read_record(folder / RECORD)
        if fresh or record is None or record.pin != pin:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            record = Record(pin, cut.lake_version, impressions_version=cut.impressions_version)
            record.started_at_ms = _now_ms()
        elif record.steps:
            tell(f"daily: going on after {', '.join(record.steps)}")
        run = cls(folder, record, tell)
        run._write()  # from here on `lake vacuum` keeps the versions that it reads
        return run

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
        self.tell(f"daily: {name}: {facts or 'done'} in {done.seconds:.1f} s")

    def undo(self, name: str) -> None:
        """Forget that a step was done."""
        self.record.steps.pop(name, None)
        self._write()

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Whatever happens within is the run's end, and stands in its record; a kill leaves it without one."""
        self.record.ended_at_ms, self.record.failure = None, ""
        try:
            yield
        except Exception as error:
            self._end(f"{type(error).__name__}: {error}"[:2_000])
            raise
        self._end("")

    @property
    def seconds(self) -> dict[str, float]:
        """How long each step took when it was done."""
        return {name: done.seconds for name, done in self.record.steps.items()}

    def _end(self, failure: str) -> None:
        self.record.ended_at_ms, self.record.failure = _now_ms(), failure
        self._write()

    def _write(self) -> None:
        waiting = self.folder / f"{RECORD}.waiting"
        waiting.write_bytes(msgspec.json.format(msgspec.json.encode(self.record)))
        waiting.replace(self.folder / RECORD)


def pin_of(cut: Cut, settings: Settings) -> Pin:
    """The pin of a run by the catalogue of features and the settings as they are now."""
    from domain.artifacts import catalogue_fingerprint  # brings numba, which the schedule does not need

    return Pin(
        cut.cutoff_ms,
        cut.first_bucket_ms,
        cut.records,
        catalogue_fingerprint(),
        settings.policies,
        impressions=cut.impressions,
        objectives=settings.objectives,
    )


@contextmanager
def only_run(folder: Path, wait_s: float = 0.0) -> Iterator[None]:
    """Hold the lock; the kernel frees it when the process ends, however it ends.

    Raises:
        AnotherRun: another process still holds it after `wait_s` seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, deadline = folder / "lock", time.monotonic() + wait_s
    with path.open("w") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise AnotherRun(path) from error
                time.sleep(POLL_S)
        yield


def prune(folder: Path, cutoff_ms: int) -> None:
    """Remove the folders of all but the newest cutoffs and this one; their records move to a folder of theirs.

    The schedule looks at that folder every few seconds, so of the records too only the newest stay.
    """
    runs = sorted((path for path in folder.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    for run in runs[:-KEPT]:
        if int(run.name) == cutoff_ms:
            continue
        if (run / RECORD).exists():
            (folder / RECORDS).mkdir(exist_ok=True)
            (run / RECORD).replace(folder / RECORDS / f"{run.name}.json")
        shutil.rmtree(run)
    kept = sorted((folder / RECORDS).glob("*.json"), key=lambda path: int(path.stem))
    for record in kept[:-RECORDS_KEPT]:
        record.unlink()


def read_record(path: Path) -> Record | None:
    """The record; None when there is none, or one of another version of the code."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def record_of(folder: Path, cutoff_ms: int) -> Record | None:
    """What is known of the run of a cutoff, whether its folder is still there or not."""
    return read_record(folder / str(cutoff_ms) / RECORD) or read_record(folder / RECORDS / f"{cutoff_ms}.json")


def records(folder: Path, since_ms: int = 0) -> list[Record]:
    """The records of cutoffs from an instant on, by cutoff."""
    paths = {int(path.stem): path for path in folder.glob(f"{RECORDS}/*.json")}
    paths |= {int(path.parent.name): path for path in folder.glob(f"*/{RECORD}") if path.parent.name.isdigit()}
    wanted = [paths[cutoff_ms] for cutoff_ms in sorted(paths) if cutoff_ms >= since_ms]
    return [record for path in wanted if (record := read_record(path)) is not None]


def unfinished(folder: Path) -> Record | None:
    """The newest run that was killed or has failed, None when there is none above the last one that came to its end."""
    known = [read_record(path) for path in folder.glob(f"*/{RECORD}")]
    newest = max((one for one in known if one is not None), key=lambda one: one.pin.cutoff_ms, default=None)
    return None if newest is None or newest.is_finished else newest


def pinned_versions(folder: Path) -> dict[str, set[int]]:
    """The versions of each table that the runs on disk have read and may read again."""
    kept: dict[str, set[int]] = {topics.INTERACTIONS.name: set(), topics.IMPRESSIONS.name: set()}
    for path in folder.glob(f"*/{RECORD}"):
        record = read_record(path)
        if record is not None:
            kept[topics.INTERACTIONS.name].add(record.lake_version)
            if record.impressions_version is not None:
                kept[topics.IMPRESSIONS.name].add(record.impressions_version)
    return kept


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
