"""When a daily run is due: a pure function of the clock, of what is published, and of what has failed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal

from domain.policies import DAY_MS, MINUTE_MS, BucketPolicy
from infra.settings import ScheduleSettings

PASSING: Final = frozenset({1, 69})
"""Exit codes behind which something may be that passes: a server that was away, another run, a bug in a library. The
others ask for a person, and so does another try at once only cost time; a signal (a negative code) passes too."""

Why = Literal["due", "missed", "retry", "never", "nothing_due", "backing_off", "given_up"]


@dataclass(frozen=True, slots=True)
class Failures:
    """The failed runs since the last one that ended well, the newest last."""

    count: int = 0
    last_at_ms: int = 0
    last_code: int = 0

    def and_one(self, at_ms: int, code: int) -> Failures:
        """These and one more."""
        return Failures(self.count + 1, at_ms, code)


@dataclass(frozen=True, slots=True)
class Known:
    """What a decision is made of. `first_chance_ms` is when the platform could first have published anything."""

    now_ms: int
    covered_ms: int | None
    first_chance_ms: int
    finished_ms: Collection[int] = ()
    failures: Failures = field(default_factory=Failures)


@dataclass(frozen=True, slots=True)
class Start:
    """Run now: up to the newest closed bucket, or of a day that was missed, which is not published."""

    why: Why
    day: date | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do before an instant, or for ever."""

    why: Why
    until_ms: int | None


Decision = Start | Wait


@dataclass(frozen=True, slots=True)
class Timetable:
    """The rules of one deployment. The cutoff that is due is the newest one possible at the last time of day."""

    schedule: ScheduleSettings
    bucket: BucketPolicy
    grace_ms: int

    def decide(self, known: Known) -> Decision:
        """What to do now. The newest cutoff comes first, as it is what is served; then the days that were missed."""
        if self.schedule.daily_at == "never":
            return Wait("never", None)
        last_ms = self.last_time_ms(known.now_ms)
        is_due = known.first_chance_ms <= last_ms and (known.covered_ms or 0) < self._due_cutoff_ms(last_ms)
        missed = None if is_due else self._missed_day(known)
        if not is_due and missed is None:
            return Wait("nothing_due", last_ms + DAY_MS)
        return self._after(known, last_ms, Start("missed" if missed else "due", missed))

    def last_time_ms(self, now_ms: int) -> int:
        """The newest instant of the configured time of day that has come."""
        hour, minute = map(int, self.schedule.daily_at.split(":"))
        today_ms = now_ms - now_ms % DAY_MS + (hour * 60 + minute) * MINUTE_MS
        return today_ms if today_ms <= now_ms else today_ms - DAY_MS

    def _due_cutoff_ms(self, last_ms: int) -> int:
        return self.bucket.last_closed_end(last_ms, self.grace_ms)

    def _after(self, known: Known, last_ms: int, start: Start) -> Decision:
        """What becomes of a start after the failures. A new day forgives all of them."""
        failures = known.failures
        if not failures.count or failures.last_at_ms < last_ms:
            return start
        if failures.count > self.schedule.retries_max or not may_pass(failures.last_code):
            return Wait("given_up", last_ms + DAY_MS)
        again_ms = failures.last_at_ms + self._pause_ms(failures.count)
        return Wait("backing_off", again_ms) if known.now_ms < again_ms else Start("retry", start.day)

    def _pause_ms(self, failures: int) -> int:
        pause_s: float = self.schedule.retry_s * 2.0 ** min(failures - 1, 32)
        return round(min(pause_s, self.schedule.retry_max_s) * 1_000)

    def _missed_day(self, known: Known) -> date | None:
        """The oldest of the newest days, below the covered cutoff and above the oldest run known, without a run."""
        if known.covered_ms is None or not known.finished_ms:
            return None
        newest = day_before(known.covered_ms)
        reach = min(self.schedule.catch_up_days_max, (newest - day_before(min(known.finished_ms))).days)
        days = [newest - timedelta(days=back) for back in range(reach, 0, -1)]
        done = {day_before(cutoff_ms) for cutoff_ms in known.finished_ms}
        return next((day for day in days if day not in done), None)


def may_pass(code: int) -> bool:
    """Whether the same run may end well when it is started again."""
    return code < 0 or code in PASSING


def day_before(cutoff_ms: int) -> date:
    """The UTC day that a cutoff ends, or lies within."""
    return datetime.fromtimestamp((cutoff_ms - 1) / 1_000, UTC).date()
