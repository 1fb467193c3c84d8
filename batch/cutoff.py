"""Where a daily run cuts the log: at the end of a closed bucket, in one version of the lake."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow.compute as pc

from batch.lake.archiver import archive_to_end, now_ms
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.layout import Layout
from batch.lake.table import Lake, is_table, open_table
from batch.lake.table_archiver import closed_cutoff
from infra.settings import Settings
from schemas.errors import ConfigurationError, DependencyError

log = logging.getLogger(__name__)


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
    """What is below a cutoff, in one version of each table of the lake."""

    cutoff_ms: int
    lake_version: int
    first_bucket_ms: int
    records: int
    impressions_version: int
    impressions: int


def cut_log(settings: Settings, wanted_ms: int | None = None) -> Cut:
    """The cut at the wanted instant, or at the newest possible one. What is waiting in Kafka is archived first.

    Raises:
        NothingClosed, NotClosed, EmptyLog: with what to do about it.
    """
    lake, impressions = open_table(settings, INTERACTIONS), open_table(settings, IMPRESSIONS)
    return _cut(settings, lake, impressions, _closed_ms(settings, lake, impressions), wanted_ms)


def look_at_cut(settings: Settings, wanted_ms: int | None = None) -> Cut:
    """What `cut_log` would find in the lake as it is; nothing is archived, made or changed. Raises as `cut_log`."""
    if not (is_table(settings, INTERACTIONS) and is_table(settings, IMPRESSIONS)):
        raise NothingClosed
    lake, impressions = open_table(settings, INTERACTIONS), open_table(settings, IMPRESSIONS)
    return _cut(settings, lake, impressions, _closed_in_both(settings, lake, impressions), wanted_ms)


def _cut(settings: Settings, lake: Lake, impressions: Lake, closed_ms: int | None, wanted_ms: int | None) -> Cut:
    if closed_ms is None:
        raise NothingClosed
    cutoff_ms = closed_ms if wanted_ms is None else wanted_ms
    if cutoff_ms > closed_ms:
        raise NotClosed(cutoff_ms, f"the newest bucket to be closed ended at {_clock(closed_ms)}")
    if cutoff_ms % settings.policies.bucket.period_ms:
        raise NotClosed(cutoff_ms, f"it lies within a bucket of {settings.policies.bucket.period_ms} ms")
    first_bucket_ms, records = _below(lake, cutoff_ms)
    if first_bucket_ms is None:
        raise EmptyLog(cutoff_ms)
    _, shown = _below(impressions, cutoff_ms)
    return Cut(cutoff_ms, lake.version, first_bucket_ms, records, impressions.version, shown)


def _below(table: Lake, cutoff_ms: int) -> tuple[int | None, int]:
    """The first bucket with a row below the cutoff, if any, and how many rows are there."""
    files = table.file_statistics()
    below = files.filter(pc.less(files["partition.bucket_ms"], cutoff_ms)) if files.num_rows else files
    if not below.num_rows:
        return None, 0
    return pc.min(below["partition.bucket_ms"]).as_py(), pc.sum(below["num_records"]).as_py()


def end_of(day: date) -> int:
    """The end of a UTC day, in epoch milliseconds."""
    midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
    return int(midnight.timestamp()) * 1000


def _closed_ms(settings: Settings, lake: Lake, impressions: Lake) -> int | None:
    """Where both tables are closed; when the archiver is behind and the broker answers, the log is archived first."""
    newest_ms = settings.policies.bucket.last_closed_end(now_ms(), settings.batch.closing_grace_ms)
    closed = [_closed_in(settings, lake, INTERACTIONS), _closed_in(settings, impressions, IMPRESSIONS)]
    if any(one is None or one < newest_ms for one in closed):
        try:
            archive_to_end(settings)
        except DependencyError as error:
            log.warning("log.unread", extra={"problem": str(error)})
        for table in (lake, impressions):
            table.refresh()
    return _closed_in_both(settings, lake, impressions)


def _closed_in_both(settings: Settings, lake: Lake, impressions: Lake) -> int | None:
    """The earlier of the two; None while the interactions have passed no mark.

    A lake from before impressions were archived has never passed a mark of theirs. While no broker answers it is cut
    without them; afterwards the first archiver brings what Kafka still has.
    """
    closed_ms, shown_ms = _closed_in(settings, lake, INTERACTIONS), _closed_in(settings, impressions, IMPRESSIONS)
    return closed_ms if closed_ms is None or shown_ms is None else min(closed_ms, shown_ms)


def _closed_in(settings: Settings, table: Lake, layout: Layout[Any]) -> int | None:
    topic = layout.topic.named(settings.kafka.topic_prefix).name
    return closed_cutoff(table, topic, settings.policies.bucket, settings.batch.closing_grace_ms)


def _clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
