"""What the records of the daily runs say, as metrics. The schedule shows them, of runs that a person started too."""

from __future__ import annotations

from collections.abc import Sequence

from batch.run import Record
from infra.metrics import (
    ARCHIVED,
    BATCH_VIEWS,
    DAILY_CUTOFF,
    DAILY_LAST_FAILURE,
    DAILY_LAST_SUCCESS,
    DAILY_PUBLISHED_ROWS,
    DAILY_QUALITY,
    DAILY_QUARANTINED_ROWS,
    DAILY_READ_ROWS,
    DAILY_STEP_SECONDS,
    DAILY_STEPS,
    MEASURES,
)


def show_records(known: Sequence[Record]) -> None:
    """Set the gauges by the newest published run, and by the newest run that failed."""
    published = [record for record in known if record.is_finished and record.is_published]
    failed_at_ms = [record.ended_at_ms for record in known if record.failure and record.ended_at_ms]
    if failed_at_ms:
        DAILY_LAST_FAILURE.set(max(failed_at_ms) / 1_000)
    if published:
        _show(published[-1])


def _show(record: Record) -> None:
    DAILY_CUTOFF.set(record.pin.cutoff_ms / 1_000)
    DAILY_LAST_SUCCESS.set((record.ended_at_ms or 0) / 1_000)
    for step in DAILY_STEPS:
        DAILY_STEP_SECONDS.labels(step).set(record.steps[step].seconds if step in record.steps else 0)
    quarantined = record.steps["quarantine"].found if "quarantine" in record.steps else {}
    for table, rows in zip(ARCHIVED, (record.pin.records, record.pin.impressions), strict=True):
        DAILY_READ_ROWS.labels(table).set(rows)
        DAILY_QUARANTINED_ROWS.labels(table).set(quarantined.get(f"{table}_quarantined", 0))
    for view in BATCH_VIEWS:
        DAILY_PUBLISHED_ROWS.labels(view).set(record.steps["publish"].found.get(view, 0))
    judged = record.steps["evaluate"].found if "evaluate" in record.steps else {}
    for measure in MEASURES:
        DAILY_QUALITY.labels(measure).set(judged.get(f"line_up_{measure}", 0))
