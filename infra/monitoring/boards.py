"""What the boards show: one for the four promises, then one a layer. `python -m infra boards` writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Unit = Literal["s", "bytes", "short", "percentunit", "reqps"]


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what its lines are called; `{{label}}` stands for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture; `limit` is drawn as the line that must not be crossed."""

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    limit: float | None = None
    explained: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """A page of panels, two in a row."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def quantiles(bucket: str, selector: str = "", by: str = "") -> tuple[Query, ...]:
    """p50 and p99 of a histogram, of each value of a label if one is named."""
    lines = f"le, {by}" if by else "le"
    told = f"{{{{{by}}}}} " if by else ""
    rate = f"sum by ({lines}) (rate({bucket}_bucket{selector}[5m]))"
    return tuple(Query(f"histogram_quantile({q}, {rate})", f"{told}p{q * 100:g}") for q in (0.5, 0.99))


def rates(counter: str, by: str, selector: str = "") -> tuple[Query, ...]:
    """A second, of each value of a label."""
    return (Query(f"sum by ({by}) (rate({counter}{selector}[5m]))", f"{{{{{by}}}}}"),)


SLATES: Final = '{route="recommendations"}'

OVERVIEW: Final = Board(
    "overview",
    "Firth: the four promises",
    (
        Panel(
            "Fresh: from a click to its readable row",
            "s",
            quantiles("firth_writer_freshness_seconds"),
            0.1,
            "p50 at most 25 ms and p99 at most 100 ms is promised, from the click to the slate.",
        ),
        Panel(
            "Fresh: slates that say they are behind",
            "percentunit",
            (
                Query(
                    'sum by (rung) (rate(firth_serving_degraded_slates_total{rung=~"stale_.*|history_gap"}[5m]))'
                    " / on () group_left () firth:slates:rate5m",
                    "{{rung}}",
                ),
            ),
        ),
        Panel(
            "Exact: stored features that differ from the log",
            "short",
            (
                Query("firth_parity_mismatched_fields", "mismatches"),
                Query("firth_parity_unsettled_rows", "not comparable yet"),
            ),
            1,
            "0 is the only good number of mismatches.",
        ),
        Panel(
            "Exact: minutes since the last comparison",
            "s",
            (Query("time() - firth_parity_last_run_timestamp_seconds", "ago"),),
            1_800,
        ),
        Panel("Fast: time to answer with a slate", "s", quantiles("firth_serving_request_seconds", SLATES), 0.1),
        Panel(
            "Fast: slates a second",
            "reqps",
            (Query("firth:slates:rate5m", "slates"),),
        ),
        Panel(
            "Good: the published line-up on the last day's sessions",
            "percentunit",
            (Query("firth_daily_quality_ratio", "{{measure}}"),),
        ),
        Panel("Good: who proposed what is shown", "reqps", rates("firth_serving_shown_items_total", "source")),
        Panel("Never down: errors", "percentunit", (Query("firth:errors:ratio5m", "5xx"),), 0.001),
        Panel("Never down: is each process there", "short", (Query("up", "{{job}}"),)),
    ),
)

SERVING: Final = Board(
    "serving",
    "Firth: serving",
    (
        Panel("Requests", "reqps", rates("firth_serving_requests_total", "route")),
        Panel("Errors by route", "reqps", rates("firth_serving_requests_total", "route", '{status="5xx"}')),
        Panel("Time to answer, p99 by route", "s", quantiles("firth_serving_request_seconds", by="route")[1:], 0.1),
        Panel("Time in a stage", "s", quantiles("firth_serving_stage_seconds", by="stage")),
        Panel("Slates from a lower rung", "reqps", rates("firth_serving_degraded_slates_total", "rung")),
        Panel("Requests refused before a route", "reqps", rates("firth_serving_refused_requests_total", "reason")),
        Panel("Events over HTTP", "reqps", rates("firth_serving_events_total", "verdict")),
        Panel("Events refused", "reqps", rates("firth_serving_rejected_events_total", "reason")),
        Panel("Until Kafka has a batch of events", "s", quantiles("firth_serving_publish_seconds")),
        Panel("Events that wait on disk", "bytes", (Query("firth_serving_spooled_bytes", "spool"),)),
        Panel(
            "Impressions",
            "reqps",
            (
                Query("sum(rate(firth_serving_impressions_total[5m]))", "published"),
                Query("sum(rate(firth_serving_lost_impressions_total[5m]))", "lost"),
            ),
        ),
        Panel("Age of the model", "s", (Query("time() - firth_serving_cutoff_timestamp_seconds", "cutoff"),)),
        Panel("Age of session features when read", "s", quantiles("firth_serving_feature_age_seconds")),
        Panel("Memory", "bytes", (Query('process_resident_memory_bytes{job="serving"}', "resident"),)),
    ),
)

SPEED: Final = Board(
    "speed",
    "Firth: the stream",
    (
        Panel(
            "Behind",
            "short",
            (
                Query("sum(flink_taskmanager_job_task_operator_pendingRecords)", "the job, of interactions"),
                Query("sum(firth_writer_lag_records)", "the writer, of rows"),
            ),
        ),
        Panel("From a click to its readable row", "s", quantiles("firth_writer_freshness_seconds"), 0.1),
        Panel(
            "Records into each task",
            "reqps",
            (Query("sum by (task_name) (flink_taskmanager_job_task_numRecordsInPerSecond)", "{{task_name}}"),),
        ),
        Panel(
            "How busy each task is",
            "percentunit",
            (Query("max by (task_name) (flink_taskmanager_job_task_busyTimeMsPerSecond) / 1000", "{{task_name}}"),),
            1,
        ),
        Panel("Rows written", "reqps", rates("firth_writer_rows_total", "outcome")),
        Panel("To write one batch of rows", "s", quantiles("firth_writer_batch_seconds")),
        Panel(
            "Checkpoints",
            "short",
            (
                Query("increase(flink_jobmanager_job_numberOfCompletedCheckpoints[10m])", "completed in 10 min"),
                Query("increase(flink_jobmanager_job_numberOfFailedCheckpoints[10m])", "failed in 10 min"),
            ),
        ),
        Panel(
            "Time of the last checkpoint",
            "s",
            (Query("flink_jobmanager_job_lastCheckpointDuration / 1000", "took"),),
        ),
        Panel("Size of the state", "bytes", (Query("flink_jobmanager_job_lastCheckpointFullSize", "checkpoint"),)),
        Panel(
            "Heap of the job",
            "percentunit",
            (
                Query(
                    "flink_taskmanager_Status_JVM_Memory_Heap_Used / flink_taskmanager_Status_JVM_Memory_Heap_Max",
                    "{{tm_id}}",
                ),
            ),
            1,
        ),
        Panel(
            "Refused, late and repeated",
            "reqps",
            (
                *rates("flink_taskmanager_job_task_operator_reason_numRejectedEvents", "reason"),
                Query("sum(rate(flink_taskmanager_job_task_operator_numLateEvents[5m]))", "late"),
                Query("sum(rate(flink_taskmanager_job_task_operator_numDuplicateEvents[5m]))", "duplicate"),
            ),
        ),
        Panel("Restarts of the job", "short", (Query("flink_jobmanager_job_numRestarts", "since its start"),)),
    ),
)

BATCH: Final = Board(
    "batch",
    "Firth: lake and daily run",
    (
        Panel("Archived", "reqps", rates("firth_archiver_rows_total", "table")),
        Panel("Not yet archived", "short", (Query("firth_archiver_lag_records", "{{table}}"),)),
        Panel("Not archived, by reason", "reqps", rates("firth_archiver_dead_letters_total", "reason")),
        Panel("To commit one batch", "s", quantiles("firth_archiver_commit_seconds", by="table")),
        Panel("Disk of the lake", "bytes", (Query("firth_archiver_disk_free_bytes", "free"),)),
        Panel(
            "Age of what is published", "s", (Query("time() - firth_daily_cutoff_timestamp_seconds", "cutoff"),), 93_600
        ),
        Panel("Steps of the newest published run", "s", (Query("firth_daily_step_seconds", "{{step}}"),)),
        Panel(
            "Rows",
            "short",
            (
                Query("firth_daily_read_rows", "read, {{table}}"),
                Query("firth_daily_quarantined_rows", "quarantined, {{table}}"),
                Query("firth_daily_published_rows", "published, {{view}}"),
            ),
        ),
        Panel("Quality", "percentunit", (Query("firth_daily_quality_ratio", "{{measure}}"),)),
        Panel("Runs in a week", "short", (Query("increase(firth_daily_runs_total[7d])", "{{outcome}}"),)),
    ),
)

BOARDS: Final = (OVERVIEW, SERVING, SPEED, BATCH)
