"""Spark's columns against the naive reference, on generated logs: every feature of every key, exactly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from batch.features.admission import admitted
from batch.features.facts import read_log
from batch.features.plan import UncompiledAggregate, total_rows, view_rows
from batch.parquet import write_file
from batch.spark import spark_session
from batch.training.sessions import sessions_of
from domain import reference
from domain.aggregates import Sum
from domain.aggregates.histogram import KEYS_MAX
from domain.aggregates.windowed import BUCKETS_MAX
from domain.facts import Stamp
from domain.features import (
    GENERATION,
    JOIN_KEYS,
    Entity,
    Feature,
    batch_only_of,
    batch_view_columns,
    column_names,
    features_of,
)
from domain.merge import merge_cells, stream_cells
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord
from domain.states import Admitted, ItemState, VisitorState
from domain.timeline import Visit, opens_session, to_visit
from infra.settings import BatchSettings, Settings
from schemas.errors import RejectedEvent
from tests.builders import START_MS, record
from tests.integration.generated_log import PERIOD_MS, POLICIES, generated_log, lake_of
from tests.integration.unusual_features import UNUSUAL, folded, packed

CUTOFF_MS = START_MS + 44 * PERIOD_MS


BOUNDS: dict[Entity, dict[str, int]] = {
    "visitor": {
        "history_kinds_window_buckets_ms": BUCKETS_MAX,
        "history_categories_keys": KEYS_MAX,
        "history_seen_items_items": 50,
        "history_distinct_items_hashes": 32,
    },
    "item": {"history_counts_window_buckets_ms": BUCKETS_MAX, "history_reach_hashes": 64},
}
"""How long the longest cells of a total are: the generated log reaches it."""


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"), batch=BatchSettings(spark_memory="1g"))
    with spark_session(settings, records=1_000) as session:
        yield session


def rows_of(frame: DataFrame, folder: Path) -> list[dict[str, Any]]:
    """The rows by way of a file, as the daily run takes them (`collect` leaves its socket open)."""
    path = folder / "rows.parquet"
    write_file(frame, path)
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def before(log: list[LogRecord], cutoff_ms: int) -> list[LogRecord]:
    return [one for one in log if one.stamp.received_at_ms < cutoff_ms]


def expected_rows(
    entity: Entity, log: list[LogRecord], policies: Policies, cutoff_ms: int = CUTOFF_MS
) -> dict[str, dict[str, Any]]:
    rows = {}
    for key, facts in reference.facts_by_key(entity, before(log, cutoff_ms), policies).items():
        totals = reference.totals(entity, facts, policies)
        cells: dict[str, Any] = {"cutoff_ms": cutoff_ms, "history_generation": GENERATION}
        for feature in features_of(entity):
            cells |= packed(feature, totals[feature.name])
        for counted in batch_only_of(entity):
            cells |= dict.fromkeys(column_names(counted.total_columns()), 0)
        rows[key] = cells
    return rows


def spark_rows(
    spark: SparkSession, entity: Entity, folder: Path, policies: Policies, cutoff_ms: int = CUTOFF_MS
) -> dict[str, dict[str, Any]]:
    facts = admitted(read_log(spark, folder, 2, cutoff_ms), policies)
    frame = view_rows(entity, facts, policies.bucket, cutoff_ms=cutoff_ms)
    key, names = JOIN_KEYS[entity], column_names(batch_view_columns(entity))
    assert frame.columns == [key, *names, "event_timestamp"]
    return {row[key]: {name: row[name] for name in names} for row in rows_of(frame, folder.parent)}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_feature_of_every_key_equals_the_reference(spark: SparkSession, tmp_path: Path, seed: int) -> None:
    log = generated_log(seed)
    lake_of(tmp_path / "lake", log)
    for entity in JOIN_KEYS:
        expected = expected_rows(entity, log, POLICIES)
        assert all(any(len(row[name]) == most for row in expected.values()) for name, most in BOUNDS[entity].items())
        assert spark_rows(spark, entity, tmp_path / "lake", POLICIES) == expected


def test_every_aggregate_equals_its_own_fold_at_its_bounds(spark: SparkSession, tmp_path: Path) -> None:
    log = generated_log(4)
    lake_of(tmp_path / "lake", log)
    facts = admitted(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), POLICIES).where("personalise")
    frame = total_rows("visitor_id", facts, UNUSUAL, POLICIES.bucket)
    found = {row.pop("visitor_id"): row for row in rows_of(frame, tmp_path)}
    by_visitor = reference.facts_by_key("visitor", before(log, CUTOFF_MS), POLICIES)
    assert found.keys() == by_visitor.keys()
    for feature in UNUSUAL:
        expected = {visitor: folded(feature, facts, POLICIES.bucket) for visitor, facts in by_visitor.items()}
        assert {
            visitor: {name: row[name] for name in feature.total_names} for visitor, row in found.items()
        } == expected


def test_an_aggregate_that_nothing_makes_totals_of_is_named(spark: SparkSession) -> None:
    class Median:
        """Like a sum, but no sum."""

        def __getattr__(self, name: str) -> Any:
            return getattr(Sum(), name)

    new: Any = Median()
    facts = spark.sql("SELECT 'ada' AS visitor_id")
    with pytest.raises(UncompiledAggregate, match="history_middle: Median has no function"):
        total_rows("visitor_id", facts, (Feature("middle", "visitor", new, "", ""),), POLICIES.bucket)


@pytest.mark.parametrize(("entity", "moves"), [("visitor", 1), ("item", 2)])
def test_whatever_the_catalogue_has_facts_move_once_by_visitor_and_once_by_item(
    spark: SparkSession, tmp_path: Path, entity: Entity, moves: int
) -> None:
    lake_of(tmp_path / "lake", generated_log(7))
    facts = admitted(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), POLICIES)
    frame = view_rows(entity, facts, POLICIES.bucket, cutoff_ms=CUTOFF_MS)
    execution: Any = frame._jdf
    plan = execution.queryExecution().executedPlan().toString()
    assert plan.count("Exchange") == plan.count("Exchange hashpartitioning(") == moves


def as_delivered(log: list[LogRecord]) -> list[LogRecord]:
    """The log with its live records on one partition, in the order in which they were received."""
    live = sorted((one for one in log if one.stamp.partition >= 0), key=lambda one: one.stamp.received_at_ms)
    stamped = [LogRecord(one.event, Stamp(one.stamp.received_at_ms, 0, at)) for at, one in enumerate(live)]
    return [one for one in log if one.stamp.partition < 0] + stamped


def streamed_cells(log: list[LogRecord]) -> dict[Entity, dict[str, dict[str, Any]]]:
    """What the stream's rows say at the end of the live log."""
    visitors: dict[str, VisitorState] = defaultdict(lambda: VisitorState.load(None, POLICIES))
    items: dict[str, ItemState] = defaultdict(lambda: ItemState.load(None, POLICIES))
    for one in log:
        if one.stamp.partition >= 0:
            with suppress(RejectedEvent):  # a flood
                outcome = visitors[one.event.visitor_id].observe(one.event, one.stamp)
                if isinstance(outcome, Admitted):
                    items[one.event.item_id].add(outcome.fact, one.stamp)
    return {
        "visitor": {key: stream_cells("visitor", state.row) for key, state in visitors.items()},
        "item": {key: stream_cells("item", state.row) for key, state in items.items()},
    }


@pytest.mark.parametrize("closed", [43, 46, 50], ids=lambda closed: f"batch_covers_{closed}_periods")
def test_batch_below_any_cutoff_and_stream_above_it_equal_the_reference_over_everything(
    spark: SparkSession, tmp_path: Path, closed: int
) -> None:
    log = as_delivered(generated_log(6))
    lake_of(tmp_path / "lake", log)
    cutoff_ms = START_MS + closed * PERIOD_MS
    recent = streamed_cells(log)
    for entity in JOIN_KEYS:
        history = spark_rows(spark, entity, tmp_path / "lake", POLICIES, cutoff_ms)
        for key, facts in reference.facts_by_key(entity, log, POLICIES).items():
            merged = merge_cells(entity, history.get(key), recent[entity].get(key))
            expected = reference.merged_values(entity, facts, merged["as_of_ms"], POLICIES)
            assert {name: merged[name] for name in expected} == expected, key
            assert (merged["history_gap"], merged["incomplete"]) == (0, [])


@pytest.mark.parametrize("dedup", [0, 1, 3])
@pytest.mark.parametrize("admitted_max", [4, 10_000])
def test_the_same_records_are_admitted_as_by_the_reference(
    spark: SparkSession, tmp_path: Path, dedup: int, admitted_max: int
) -> None:
    policies = replace(
        POLICIES,
        bucket=replace(POLICIES.bucket, dedup=dedup),
        admission=replace(POLICIES.admission, admitted_max=admitted_max),
    )
    log = generated_log(dedup * 7 + admitted_max)
    lake_of(tmp_path / "lake", log, policies)
    found = admitted(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), policies)
    expected = [(one.stamp.partition, one.stamp.offset) for one in reference.admitted(before(log, CUTOFF_MS), policies)]
    assert sorted((row["partition"], row["offset"]) for row in rows_of(found, tmp_path)) == expected
    assert len(expected) < len(before(log, CUTOFF_MS))


def test_a_duplicate_is_remembered_too(spark: SparkSession, tmp_path: Path) -> None:
    policies = replace(POLICIES, bucket=BucketPolicy(period_ms=PERIOD_MS, dedup=1))
    log = [record("same", received_at_ms=START_MS + bucket * PERIOD_MS, offset=bucket) for bucket in (0, 1, 2, 4)]
    lake_of(tmp_path / "lake", log, policies)
    found = admitted(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), policies)
    assert sorted(row["offset"] for row in rows_of(found, tmp_path)) == [0, 4]


def test_what_was_received_at_the_cutoff_is_left_to_the_stream(spark: SparkSession, tmp_path: Path) -> None:
    log = [record("in", received_at_ms=CUTOFF_MS - 1), record("out", received_at_ms=CUTOFF_MS, offset=1)]
    lake_of(tmp_path / "lake", log)
    assert [row["event_id"] for row in rows_of(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), tmp_path)] == ["in"]


def expected_sessions(log: list[LogRecord]) -> list[tuple[str, int, int, list[str], list[list[str]]]]:
    """(visitor, start, end, items, kinds of each) by the rule of one timeline, without bounds."""
    found = []
    for visitor, facts in reference.facts_by_key("visitor", before(log, CUTOFF_MS), POLICIES).items():
        visits = sorted({to_visit(fact) for fact in facts})
        for session in cut_sessions(visits):
            liked = [visit for visit in session if visit.kind not in ("dislike", "hide")]
            runs = [(item, [visit.kind for visit in run]) for item, run in groupby(liked, lambda visit: visit.item_id)]
            if len(runs) > 1:
                bounds = liked[0].occurred_at_ms, liked[-1].occurred_at_ms
                found.append((visitor, *bounds, [item for item, _ in runs], [kinds for _, kinds in runs]))
    return found


def cut_sessions(visits: list[Visit]) -> list[list[Visit]]:
    sessions = [[visits[0]]]
    for earlier, later in pairwise(visits):
        if opens_session(earlier, later, POLICIES.session):
            sessions.append([])
        sessions[-1].append(later)
    return sessions


def test_sessions_are_cut_by_the_rule_of_the_timeline(spark: SparkSession, tmp_path: Path) -> None:
    log = generated_log(5, records=2_000)
    lake_of(tmp_path / "lake", log)
    facts = admitted(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), POLICIES)
    rows = rows_of(sessions_of(facts, POLICIES.session), tmp_path)
    found = [
        (row["visitor_id"], row["started_at_ms"], row["ended_at_ms"], row["items"], kinds_by_item(row)) for row in rows
    ]
    expected = expected_sessions(log)
    assert sorted(found) == sorted(expected)
    assert len(expected) > 50
    assert all(len(row["values_micros"]) == len(row["kinds"]) for row in rows)
    assert any(value for row in rows for value in row["values_micros"])


def kinds_by_item(row: dict[str, Any]) -> list[list[str]]:
    found: list[list[str]] = []
    for kind, moves in zip(row["kinds"], row["moves"], strict=True):
        found.append([kind]) if moves else found[-1].append(kind)
    return found
