"""The record of a daily run: skip what is done, begin anew when the log or the catalogue is another, hold the lock."""

from pathlib import Path
from threading import Event, Thread

import pytest

from batch.cutoff import Cut
from batch.run import RECORDS_KEPT, AnotherRun, Pin, Run, only_run, prune, record_of
from domain.policies import Policies, SessionPolicy

CUT = Cut(86_400_000, 1, 0, 10, 1, 0)
PIN = Pin(cutoff_ms=86_400_000, first_bucket_ms=0, records=10, catalogue_fingerprint="f")


class Work:
    """A step that counts how often it was done."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, int]:
        self.times += 1
        return {"rows": self.times}


def opened(folder: Path, pin: Pin = PIN, *, fresh: bool = False) -> Run:
    return Run.open(folder, pin, CUT, lambda _: None, fresh=fresh)


def test_a_step_that_is_done_is_skipped_by_the_next_process(tmp_path: Path) -> None:
    work = Work()
    assert opened(tmp_path / "run").step("features", work) == {"rows": 1}
    assert opened(tmp_path / "run").step("features", work) == {"rows": 1}
    assert work.times == 1


def test_a_step_that_failed_is_done_again(tmp_path: Path) -> None:
    def fail() -> dict[str, int]:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        opened(tmp_path / "run").step("features", fail)
    assert opened(tmp_path / "run").step("features", Work()) == {"rows": 1}


@pytest.mark.parametrize(
    "pin",
    [
        Pin(cutoff_ms=PIN.cutoff_ms, first_bucket_ms=0, records=11, catalogue_fingerprint="f"),
        Pin(cutoff_ms=PIN.cutoff_ms, first_bucket_ms=0, records=10, catalogue_fingerprint="g"),
        Pin(PIN.cutoff_ms, 0, 10, "f", Policies(session=SessionPolicy(gap_ms=1))),
        Pin(cutoff_ms=PIN.cutoff_ms, first_bucket_ms=0, records=10, catalogue_fingerprint="f", impressions=1),
    ],
)
def test_another_log_or_catalogue_begins_anew(tmp_path: Path, pin: Pin) -> None:
    work = Work()
    opened(tmp_path / "run").step("features", work)
    (tmp_path / "run" / "left.over").touch()
    opened(tmp_path / "run", pin).step("features", work)
    assert work.times == 2
    assert not (tmp_path / "run" / "left.over").exists()


def test_fresh_begins_anew(tmp_path: Path) -> None:
    work = Work()
    opened(tmp_path / "run").step("features", work)
    opened(tmp_path / "run", fresh=True).step("features", work)
    assert work.times == 2


def test_an_unreadable_record_begins_anew(tmp_path: Path) -> None:
    opened(tmp_path / "run").step("features", Work())
    (tmp_path / "run" / "run.json").write_text("{")
    assert not opened(tmp_path / "run").is_done("features")


def test_an_undone_step_is_done_again(tmp_path: Path) -> None:
    work = Work()
    run = opened(tmp_path / "run")
    run.step("publish", work)
    run.undo("publish")
    opened(tmp_path / "run").step("publish", work)
    assert work.times == 2


def test_each_step_is_told_with_its_numbers(tmp_path: Path) -> None:
    told: list[str] = []
    Run.open(tmp_path / "run", PIN, CUT, told.append).step("features", lambda: {"visitors": 1_234})
    assert told[0].startswith("daily: features: 1,234 visitors in ")


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    with only_run(tmp_path), pytest.raises(AnotherRun), only_run(tmp_path):
        pass
    with only_run(tmp_path):
        pass


def test_a_run_that_waits_begins_when_the_other_one_has_ended(tmp_path: Path) -> None:
    held, began = Event(), Event()

    def hold() -> None:
        with only_run(tmp_path):
            held.set()
            assert not began.wait(0.2)

    other = Thread(target=hold)
    other.start()
    held.wait()
    with only_run(tmp_path, wait_s=20):
        began.set()
    other.join()


def test_the_folders_of_the_newest_cutoffs_and_of_this_one_stay_and_the_records_of_others(tmp_path: Path) -> None:
    for name in ("8", "9", "10", "11", "100"):
        opened(tmp_path / name)
    (tmp_path / "lock").touch()
    prune(tmp_path, 8)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "100", "11", "8", "lock", "records"]
    assert record_of(tmp_path, 9) is not None


def test_of_the_records_only_the_newest_stay(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    for number in range(RECORDS_KEPT):
        (tmp_path / "records" / f"{number + 2}.json").touch()
    for name in ("9990", "9991", "9992", "9993", "9994"):
        opened(tmp_path / name)
    prune(tmp_path, 9994)
    left = sorted(int(path.stem) for path in (tmp_path / "records").iterdir())
    assert len(left) == RECORDS_KEPT
    assert left[0] == 4
    assert left[-2:] == [9990, 9991]
