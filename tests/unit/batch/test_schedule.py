"""When the daily run starts by itself, what it does about failures, and what it catches up with."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from batch.run import Pin, Record
from batch.schedule import DailyProcess, Scheduler
from batch.schedule_plan import Decision, Failures, Known, Start, Timetable, Wait, day_before
from domain.manifests import cover
from domain.policies import DAY_MS, HOUR_MS, BucketPolicy
from infra.metrics import registry_of
from infra.processes.launch import LOG_BYTES_MAX
from infra.settings import ScheduleSettings, Settings
from tests.builders import START_MS

AT_MS = START_MS + 30 * 60_000
"""Half past midnight of the first day, when the run is due."""

GRACE_MS = 300_000
SCHEDULE = ScheduleSettings(daily_at="00:30", retries_max=2, retry_s=60, retry_max_s=100)
MINUTE_MS = 60_000


def decide(
    now_ms: int,
    *,
    covered_ms: int | None = START_MS - DAY_MS,
    first_chance_ms: int = 0,
    finished_ms: tuple[int, ...] = (),
    failures: Failures | None = None,
    schedule: ScheduleSettings = SCHEDULE,
) -> Decision:
    known = Known(now_ms, covered_ms, first_chance_ms, finished_ms, failures or Failures())
    return Timetable(schedule, BucketPolicy(), GRACE_MS).decide(known)


def test_the_run_is_due_at_its_time_and_not_a_moment_earlier() -> None:
    assert decide(AT_MS - 1) == Wait("nothing_due", AT_MS)
    assert decide(AT_MS) == Start("due")


def test_what_is_published_is_not_computed_again_before_the_next_day() -> None:
    assert decide(AT_MS, covered_ms=START_MS) == Wait("nothing_due", AT_MS + DAY_MS)
    assert decide(AT_MS + DAY_MS, covered_ms=START_MS) == Start("due")


def test_a_platform_that_was_down_at_the_time_runs_when_it_comes_back() -> None:
    assert decide(AT_MS + 9 * HOUR_MS) == Start("due")


def test_a_new_platform_waits_for_its_first_time_of_day() -> None:
    assert decide(AT_MS + 2, covered_ms=None, first_chance_ms=AT_MS + 1) == Wait("nothing_due", AT_MS + DAY_MS)
    assert decide(AT_MS + DAY_MS, covered_ms=None, first_chance_ms=AT_MS + 1) == Start("due")


def test_never_is_never() -> None:
    assert decide(AT_MS, schedule=ScheduleSettings(daily_at="never")) == Wait("never", None)


@pytest.mark.parametrize(("count", "pause_s"), [(1, 60), (2, 100)])
def test_a_failure_that_may_pass_is_tried_again_after_a_growing_bounded_pause(count: int, pause_s: int) -> None:
    failures = Failures(count, AT_MS + 5, 69)
    again_ms = AT_MS + 5 + pause_s * 1_000
    assert decide(again_ms - 1, failures=failures) == Wait("backing_off", again_ms)
    assert decide(again_ms, failures=failures) == Start("retry")


@pytest.mark.parametrize("failures", [Failures(3, AT_MS, 69), Failures(1, AT_MS, 65), Failures(1, AT_MS, 78)])
def test_too_many_failures_or_one_that_asks_for_a_person_wait_for_the_next_day(failures: Failures) -> None:
    assert decide(AT_MS + HOUR_MS, failures=failures) == Wait("given_up", AT_MS + DAY_MS)
    assert decide(AT_MS + DAY_MS, failures=failures) == Start("due")


def test_a_run_that_was_killed_is_tried_again() -> None:
    assert decide(AT_MS + HOUR_MS, failures=Failures(1, AT_MS, -9)) == Start("retry")


def test_days_that_were_missed_come_after_the_newest_one_oldest_first() -> None:
    ran: tuple[int, ...] = (START_MS - 4 * DAY_MS,)
    assert decide(AT_MS, covered_ms=ran[0], finished_ms=ran) == Start("due")
    first = decide(AT_MS, covered_ms=START_MS, finished_ms=(*ran, START_MS))
    assert first == Start("missed", day_before(START_MS - 3 * DAY_MS))
    ran = (*ran, START_MS - 3 * DAY_MS, START_MS - 2 * DAY_MS, START_MS)
    assert decide(AT_MS, covered_ms=START_MS, finished_ms=ran) == Start("missed", day_before(START_MS - DAY_MS))
    ran = (*ran, START_MS - DAY_MS)
    assert decide(AT_MS, covered_ms=START_MS, finished_ms=ran) == Wait("nothing_due", AT_MS + DAY_MS)


def test_only_so_many_missed_days_are_computed() -> None:
    schedule = SCHEDULE.model_copy(update={"catch_up_days_max": 1})
    ran = (START_MS - 9 * DAY_MS, START_MS)
    found = decide(AT_MS, covered_ms=START_MS, finished_ms=ran, schedule=schedule)
    assert found == Start("missed", day_before(START_MS - DAY_MS))


def test_a_missed_day_that_failed_is_tried_again_as_what_it_is() -> None:
    ran = (START_MS - 2 * DAY_MS, START_MS)
    found = decide(AT_MS + HOUR_MS, covered_ms=START_MS, finished_ms=ran, failures=Failures(1, AT_MS, 1))
    assert found == Start("retry", day_before(START_MS - DAY_MS))


def test_a_cutoff_ends_the_day_before_it() -> None:
    assert day_before(86_400_000) == date(1970, 1, 1)


@dataclass
class Runs:
    """Runs that end with the codes that a test says, and publish when they end well."""

    settings: Settings
    codes: list[int]
    started: list[Start] = field(default_factory=list)
    stopped: int = 0
    code: int | None = None

    def begin(self, start: Start) -> Runs:
        self.started.append(start)
        self.code = self.codes.pop(0) if self.codes else None
        return self

    def poll(self) -> int | None:
        if self.code == 0:
            self.settings.artifacts_dir.mkdir(parents=True, exist_ok=True)
            cover(self.settings.artifacts_dir, START_MS)
        return self.code

    def stop(self) -> None:
        self.stopped += 1


class SetClock:
    """A clock that a test sets."""

    def __init__(self, at_ms: int) -> None:
        self.at_ms = at_ms

    def __call__(self) -> int:
        return self.at_ms


def scheduler(folder: Path, *codes: int) -> tuple[Scheduler, Runs, SetClock]:
    settings = Settings(state_dir=folder, schedule=SCHEDULE)
    runs, clock = Runs(settings, list(codes)), SetClock(AT_MS - 1)
    return Scheduler(settings, runs.begin, clock), runs, clock


def test_a_failed_run_is_survived_told_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    one, runs, clock = scheduler(tmp_path, 69, 0)
    for at_ms in (AT_MS - 1, AT_MS, AT_MS + 1, AT_MS + 2, AT_MS + 3, AT_MS + 2 * MINUTE_MS, AT_MS + 3 * MINUTE_MS):
        clock.at_ms = at_ms
        one.look()
    one.look()
    assert runs.started == [Start("due"), Start("retry")]
    events = [(record.message, vars(record).get("why")) for record in caplog.records]
    assert events == [
        ("daily.awaited", "nothing_due"),
        ("daily.started", "due"),
        ("daily.failed", None),
        ("daily.awaited", "backing_off"),
        ("daily.started", "retry"),
        ("daily.finished", None),
        ("daily.awaited", "nothing_due"),
    ]


def test_one_run_at_a_time_and_none_that_outlives_the_schedule(tmp_path: Path) -> None:
    one, runs, clock = scheduler(tmp_path)
    clock.at_ms = AT_MS
    for _ in range(3):
        one.look()
    assert len(runs.started) == 1
    one.stop()
    assert runs.stopped == 1


def test_the_log_of_the_runs_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "daily.log"
    log.parent.mkdir()
    for _ in range(3):
        with log.open("wb") as full:
            full.truncate(LOG_BYTES_MAX + 1)
        DailyProcess(Start("due"), log).stop()
        assert log.stat().st_size < 10_000
    assert sorted(path.name for path in log.parent.iterdir()) == ["daily.log", "daily.log.1"]


def test_the_records_are_shown_as_metrics(tmp_path: Path) -> None:
    from batch.daily_metrics import show_records
    from batch.run import StepDone

    done = Record(Pin(START_MS, 0, 12, "f", impressions=3), 1, ended_at_ms=START_MS + 5_000)
    done.steps = {
        "quarantine": StepDone({"interactions_quarantined": 2}, 0.5),
        "publish": StepDone({"item_profile": 7}, 1.5),
        "evaluate": StepDone({"line_up_hr20": 0.31}, 2.0),
    }
    failed = Record(Pin(START_MS + DAY_MS, 0, 12, "f"), 1, ended_at_ms=START_MS + 9_000, failure="broken")
    show_records([done, failed])
    shown = registry_of("daily")
    assert shown.get_sample_value("firth_daily_cutoff_timestamp_seconds") == START_MS / 1_000
    assert shown.get_sample_value("firth_daily_last_failure_timestamp_seconds") == START_MS / 1_000 + 9
    assert shown.get_sample_value("firth_daily_quarantined_rows", {"table": "interactions"}) == 2
    assert shown.get_sample_value("firth_daily_published_rows", {"view": "item_profile"}) == 7
    assert shown.get_sample_value("firth_daily_step_seconds", {"step": "publish"}) == 1.5
    assert shown.get_sample_value("firth_daily_quality_ratio", {"measure": "hr20"}) == 0.31
