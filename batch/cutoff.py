"""Where a daily run cuts the log: at the end of a closed bucket, in one version of the lake."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pyarrow.compute as pc

from batch.lake.archiver import archive_to_end, closed_cutoff, now_ms
from batch.lake.table import Lake
from infra.settings import Settings
from schemas.errors import ConfigurationError, DependencyError
from schemas.topics import INTERACTIONS


class NothingClosed(ConfigurationError):
    """No bucket is closed: nobody knows up to when the log is complete."""

    def __init__(self) -> None:
        super().__init__(
            "lake",
            "no bucket is closed yet, because the archiver has not passed the end of one",
            "start the platform (`python -m infra up`), or run `python -m batch archive --once` beside Kafka",
        )


class EmptyLog(ConfigurationError):
    """There is nothing to learn from below the cutoff."""

    def __init__(self, cutoff_ms: int) -> None:
        self.cutoff_ms = cutoff_ms
        super().__init__(
            "lake",
            f"no interaction was received before {_clock(cutoff_ms)}, the end of the newest closed bucket",
            "import history with `python -m batch import FILE`, or wait until a bucket with live events has closed",
        )


class NotClosed(ConfigurationError):
    """The cutoff that was asked for is not the end of a closed bucket."""

    def __init__(self, cutoff_ms: int, problem: str) -> None:
        self.cutoff_ms = cutoff_ms
        super().__init__(
            f"cutoff {_clock(cutoff_ms)}", problem, "ask for an earlier one, or for none to get the newest"
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """What is below a cutoff, in one version of the lake."""

    cutoff_ms: int
    lake_version: int
    first_bucket_ms: int
    records: int


def cut_log(settings: Settings, wanted_ms: int | None = None) -> Cut:
    """The cut at the wanted instant, or at the newest possible one.

    Raises:
        NothingClosed, NotClosed, EmptyLog: with what to do about it.
    """
    lake = Lake.open(settings.lake_dir, settings.policies.bucket)
    closed_ms = _closed_ms(settings, lake)
    cutoff_ms = closed_ms if wanted_ms is None else wanted_ms
    if cutoff_ms > closed_ms:
        raise NotClosed(cutoff_ms, f"the newest bucket to be closed ended at {_clock(closed_ms)}")
    if cutoff_ms % settings.policies.bucket.period_ms:
        raise NotClosed(cutoff_ms, f"it lies within a bucket of {settings.policies.bucket.period_ms} ms")
    files = lake.file_statistics()
    below = files.filter(pc.less(files["partition.bucket_ms"], cutoff_ms)) if files.num_rows else files
    if not below.num_rows:
        raise EmptyLog(cutoff_ms)
    first_bucket_ms = pc.min(below["partition.bucket_ms"]).as_py()
    return Cut(cutoff_ms, lake.version, first_bucket_ms, pc.sum(below["num_records"]).as_py())


def end_of(day: date) -> int:
    """The end of a UTC day, in epoch milliseconds."""
    midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
    return int(midnight.timestamp()) * 1000


def _closed_ms(settings: Settings, lake: Lake) -> int:
    """The newest cutoff; when the archiver is behind and the broker answers, the log is archived to its end first."""
    topic = INTERACTIONS.named(settings.kafka.topic_prefix).name
    policy, grace_ms = settings.policies.bucket, settings.batch.closing_grace_ms
    closed_ms = closed_cutoff(lake, topic, policy, grace_ms)
    if closed_ms is None or closed_ms < policy.last_closed_end(now_ms(), grace_ms):
        try:
            archive_to_end(settings)
        except DependencyError:
            if closed_ms is None:
                raise NothingClosed from None
            return closed_ms
        lake.refresh()
        closed_ms = closed_cutoff(lake, topic, policy, grace_ms)
    if closed_ms is None:
        raise NothingClosed
    return closed_ms


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
