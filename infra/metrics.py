"""Every metric of the platform, by layer: `firth_<layer>_<noun>_<unit>[_total]`.

Each label has a closed set of values, and every combination is there from the start with 0, so that a rate has no gap
and a panel or alert can be checked against a fresh process. A layer sets its own metrics and no others, and its
process shows no others: serving at `/metrics`, the writer, the archiver, parity and the schedule (for the daily runs)
on ports of their own.
"""

from __future__ import annotations

import itertools
import logging
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, TypeVar

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

from domain.slates import Degradation, Source
from schemas.errors import Reason
from schemas.topics import IMPRESSIONS, INTERACTIONS, ITEM_STATES, ITEMS, RULES

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

log = logging.getLogger(__name__)

Layer = Literal["serving", "writer", "archiver", "daily", "parity"]
LOOPBACK: Final = "127.0.0.1"

# Bounds in seconds, dense where the promises are: 3 ms a request, 25 and 100 ms from click to slate.
REQUEST_SECONDS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
FRESHNESS_SECONDS: Final = (0.005, 0.01, 0.015, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1, 5, 30)
WORK_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

ROUTES: Final = (
    "recommendations", "page", "rank", "explain", "similar", "trending", "search", "onboarding", "visitors", "events",
    "items", "catalogue", "rules", "health", "site", "other",
)  # fmt: skip
STATUSES: Final = ("2xx", "4xx", "5xx")
STAGES: Final = ("hydrate", "retrieve", "filter", "score", "compose")
VERDICTS: Final = ("accepted", "rejected", "unconfirmed", "spooled")
REFUSALS: Final = ("unauthorised", "forbidden", "limited", "origin", "timeout")
SPEED_VIEWS: Final = ("visitor_session", "visitor_recent", "item_trend")
FOLLOWED: Final = (ITEMS.name, RULES.name, ITEM_STATES.name)
ARCHIVED: Final = (INTERACTIONS.name, IMPRESSIONS.name)
BATCH_VIEWS: Final = ("visitor_history", "item_profile")
DAILY_STEPS: Final = (
    "quarantine", "catalogue", "spark", "admission", "features", "sessions", "histories", "taste", "tune", "evaluate",
    "models", "artifact", "gate", "publish", "promote", "track",
)  # fmt: skip
RUN_OUTCOMES: Final = ("finished", "failed")
WRITE_OUTCOMES: Final = ("written", "outdated", "removed")
MEASURES: Final = ("hr20", "mrr20")


class Labelled(Protocol):
    """A metric with labels."""

    def labels(self, *values: str) -> object:
        """The child with these label values, made when it is new."""
        ...


LabelledT = TypeVar("LabelledT", bound=Labelled)


def _with_all(metric: LabelledT, *label_values: Iterable[str]) -> LabelledT:
    """The metric with every combination of its label values present."""
    for values in itertools.product(*label_values):
        metric.labels(*values)
    return metric


# --- serving ---
SERVING_REQUESTS: Final = _with_all(
    Counter("firth_serving_requests_total", "Requests answered.", ["route", "status"]), ROUTES, STATUSES
)
SERVING_REQUEST_SECONDS: Final = _with_all(
    Histogram("firth_serving_request_seconds", "Time to answer.", ["route"], buckets=REQUEST_SECONDS), ROUTES
)
SERVING_REFUSED: Final = _with_all(
    Counter("firth_serving_refused_requests_total", "Requests refused before a route saw them.", ["reason"]), REFUSALS
)
SERVING_STAGE_SECONDS: Final = _with_all(
    Histogram("firth_serving_stage_seconds", "Time in a pipeline stage.", ["stage"], buckets=REQUEST_SECONDS), STAGES
)
SERVING_DEGRADED: Final = _with_all(
    Counter("firth_serving_degraded_slates_total", "Slates from a fallback rung.", ["rung"]), Degradation
)
SERVING_SHOWN_ITEMS: Final = _with_all(
    Counter("firth_serving_shown_items_total", "Items shown, by who proposed them.", ["source"]), Source
)
SERVING_FEATURE_AGE_SECONDS: Final = Histogram(
    "firth_serving_feature_age_seconds",
    "Age of the newest session feature when read.",
    buckets=FRESHNESS_SECONDS,
)
SERVING_EVENTS: Final = _with_all(
    Counter("firth_serving_events_total", "Events received over HTTP.", ["verdict"]), VERDICTS
)
SERVING_REJECTED_EVENTS: Final = _with_all(
    Counter("firth_serving_rejected_events_total", "Events refused over HTTP.", ["reason"]), Reason
)
SERVING_PUBLISH_SECONDS: Final = Histogram(
    "firth_serving_publish_seconds", "Time until Kafka acknowledged a batch of events.", buckets=WORK_SECONDS
)
SERVING_SPOOLED_BYTES: Final = Gauge("firth_serving_spooled_bytes", "Events on disk that wait for Kafka.")
SERVING_UNSPOOLED: Final = Counter("firth_serving_unspooled_events_total", "Events for which the spool had no room.")
SERVING_IMPRESSIONS: Final = Counter("firth_serving_impressions_total", "Impressions published.")
SERVING_LOST_IMPRESSIONS: Final = Counter("firth_serving_lost_impressions_total", "Impressions that Kafka refused.")
SERVING_SKIPPED_RECORDS: Final = _with_all(
    Counter("firth_serving_skipped_records_total", "Records of a followed topic whose key is no text.", ["topic"]),
    FOLLOWED,
)
SERVING_ARTIFACT_SWAPS: Final = Counter("firth_serving_artifact_swaps_total", "Model artifacts taken into use.")
SERVING_CUTOFF_SECONDS: Final = Gauge(
    "firth_serving_cutoff_timestamp_seconds", "Cutoff of the artifact in use, as Unix time."
)

# --- speed: the feature writer (the Flink job has Flink's own metrics) ---
WRITER_ROWS: Final = _with_all(
    Counter("firth_writer_rows_total", "Feature rows by what became of them.", ["view", "outcome"]),
    SPEED_VIEWS,
    WRITE_OUTCOMES,
)
WRITER_BATCH_SECONDS: Final = Histogram(
    "firth_writer_batch_seconds", "Time to finish and write one batch of rows.", buckets=WORK_SECONDS
)
WRITER_FRESHNESS_SECONDS: Final = Histogram(
    "firth_writer_freshness_seconds",
    "From a click's Kafka timestamp to its readable row.",
    buckets=FRESHNESS_SECONDS,
)
WRITER_LAG: Final = Gauge("firth_writer_lag_records", "Changelog records not yet written.")
WRITER_REBUILDS: Final = Counter("firth_writer_rebuilds_total", "Times a wiped store was filled again from the start.")

# --- batch: the archiver ---
ARCHIVER_ROWS: Final = _with_all(
    Counter("firth_archiver_rows_total", "Records committed to a table of the lake.", ["table"]), ARCHIVED
)
ARCHIVER_COMMIT_SECONDS: Final = _with_all(
    Histogram("firth_archiver_commit_seconds", "Time to commit one batch.", ["table"], buckets=WORK_SECONDS), ARCHIVED
)
ARCHIVER_LAG: Final = _with_all(
    Gauge("firth_archiver_lag_records", "Records of a topic that are not yet in its table.", ["table"]), ARCHIVED
)
ARCHIVER_DEAD_LETTERS: Final = _with_all(
    Counter("firth_archiver_dead_letters_total", "Records that are not archived.", ["table", "reason"]),
    ARCHIVED,
    Reason,
)
ARCHIVER_DISK: Final = Gauge("firth_archiver_disk_bytes", "Size of the disk that holds the lake.")
ARCHIVER_DISK_FREE: Final = Gauge("firth_archiver_disk_free_bytes", "What is free of it.")

# --- batch: the daily runs, as their records tell; the schedule shows them ---
DAILY_RUNS: Final = _with_all(
    Counter("firth_daily_runs_total", "Runs that the schedule started, by their end.", ["outcome"]), RUN_OUTCOMES
)
DAILY_CUTOFF: Final = Gauge("firth_daily_cutoff_timestamp_seconds", "The newest published cutoff, as Unix time.")
DAILY_LAST_SUCCESS: Final = Gauge(
    "firth_daily_last_success_timestamp_seconds", "When the newest published run ended, as Unix time; 0: none has."
)
DAILY_LAST_FAILURE: Final = Gauge(
    "firth_daily_last_failure_timestamp_seconds", "When the newest failed run ended, as Unix time; 0: none has."
)
DAILY_STEP_SECONDS: Final = _with_all(
    Gauge("firth_daily_step_seconds", "How long a step of the newest published run took.", ["step"]), DAILY_STEPS
)
DAILY_READ_ROWS: Final = _with_all(
    Gauge("firth_daily_read_rows", "Rows of a table below the newest published cutoff.", ["table"]), ARCHIVED
)
DAILY_QUARANTINED_ROWS: Final = _with_all(
    Gauge("firth_daily_quarantined_rows", "Those of them that break the contract.", ["table"]), ARCHIVED
)
DAILY_PUBLISHED_ROWS: Final = _with_all(
    Gauge("firth_daily_published_rows", "Rows of a batch view that the newest run published.", ["view"]), BATCH_VIEWS
)
DAILY_QUALITY: Final = _with_all(
    Gauge("firth_daily_quality_ratio", "HR@20 and MRR@20 of the newest published line-up; 0: not judged.", ["measure"]),
    MEASURES,
)

# --- parity: stored features against a recomputation from the log ---
PARITY_ROWS: Final = Counter("firth_parity_rows_total", "Rows compared.")
PARITY_MISMATCHES: Final = Gauge("firth_parity_mismatched_fields", "Fields that differed in the last run. 0 is good.")
PARITY_BEHIND: Final = Gauge("firth_parity_behind_rows", "Rows among the mismatches that are absent or behind.")
PARITY_UNSETTLED: Final = Gauge("firth_parity_unsettled_rows", "Rows that the last run could not compare yet.")
PARITY_HISTORY_GAPS: Final = Gauge(
    "firth_parity_history_gap_rows", "Rows that lack what the stream let go before batch covered it, in the last run."
)
PARITY_INCOMPLETE: Final = Gauge(
    "firth_parity_incomplete_rows", "Rows that name features which they do not have whole yet, in the last run."
)
PARITY_RUN_SECONDS: Final = Gauge("firth_parity_run_seconds", "How long the last run took.")
PARITY_LAST_RUN: Final = Gauge(
    "firth_parity_last_run_timestamp_seconds", "When the last run ended, as Unix time; 0 before the first."
)


class _OfLayer(Collector):
    """One layer's metrics, and those of the process."""

    def __init__(self, layer: Layer) -> None:
        self._own = f"firth_{layer}_"

    def collect(self) -> Iterator[Metric]:
        """All but the other layers' metrics, which nobody sets in this process: their zeros would be lies."""
        for family in prometheus_client.REGISTRY.collect():
            if family.name.startswith(self._own) or not family.name.startswith("firth_"):
                yield family


def registry_of(layer: Layer) -> CollectorRegistry:
    """What a process of this layer shows."""
    registry = CollectorRegistry()
    registry.register(_OfLayer(layer))
    return registry


def export(layer: Layer, port: int, host: str = LOOPBACK) -> None:
    """Serve this process's metrics; 0: do not.

    A port that is in use costs the metrics and not the work, so it is a line in the log.
    """
    if port == 0:
        return
    try:
        prometheus_client.start_http_server(port, addr=host, registry=registry_of(layer))
    except OSError as error:
        remedy = f"set FIRTH_METRICS__{layer.upper()}_PORT to a free port"
        log.error("metrics.hidden", extra={"port": port, "problem": str(error), "remedy": remedy})


def watch_disk(folder: Path) -> None:
    """Have the gauges of the disk look at the one that holds `folder`, at every scrape."""
    folder.mkdir(parents=True, exist_ok=True)
    ARCHIVER_DISK.set_function(lambda: shutil.disk_usage(folder).total)
    ARCHIVER_DISK_FREE.set_function(lambda: shutil.disk_usage(folder).free)


def names() -> Sequence[str]:
    """Every metric's name as Prometheus shows it, for checks of panels and alerts."""
    return sorted(
        family.name + ("_total" if family.type == "counter" else "")
        for family in prometheus_client.REGISTRY.collect()
        if family.name.startswith("firth_")
    )
