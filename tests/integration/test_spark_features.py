"""Spark's columns against the naive reference, on generated logs: every feature of every key, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from batch.features.admission import admitted
from batch.features.cells import saturating_sum
from batch.features.facts import read_log
from batch.features.plan import view_rows
from batch.parquet import write_file
from batch.spark import spark_session
from batch.training.sessions import sessions_of
from domain import reference
from domain.aggregates.sums import INT64_MAX
from domain.features import JOIN_KEYS, Entity, batch_view_columns, column_names, features_of
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord
from domain.timeline import Visit, opens_session, to_visit
from infra.settings import BatchSettings, Settings
from tests.builders import START_MS, record
from tests.integration.generated_log import PERIOD_MS, POLICIES, generated_log, lake_of

CUTOFF_MS = START_MS + 44 * PERIOD_MS


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


def expected_rows(entity: Entity, log: list[LogRecord], policies: Policies) -> dict[str, dict[str, Any]]:
    rows = {}
    for key, facts in reference.facts_by_key(entity, before(log, CUTOFF_MS), policies).items():
        totals = reference.totals(entity, facts, policies)
        cells: dict[str, Any] = {"cutoff_ms": CUTOFF_MS}
        for feature in features_of(entity):
            packed = feature.aggregate.pack_total(totals[feature.name])
            cells.update(zip(column_names(feature.total_columns()), packed, strict=True))
        rows[key] = cells
    return rows


def spark_rows(spark: SparkSession, entity: Entity, folder: Path, policies: Policies) -> dict[str, dict[str, Any]]:
    log = read_log(spark, folder, 2, CUTOFF_MS)
    facts = admitted(log, policies)
    frame = view_rows(entity, facts, policies.bucket, first_bucket_ms=START_MS, cutoff_ms=CUTOFF_MS)
    key, names = JOIN_KEYS[entity], column_names(batch_view_columns(entity))
    assert frame.columns == [key, *names, "event_timestamp"]
    return {row[key]: {name: row[name] for name in names} for row in rows_of(frame, folder.parent)}


@pytest.mark.parametrize("seed", [1, 2])
def test_every_feature_of_every_key_equals_the_reference(spark: SparkSession, tmp_path: Path, seed: int) -> None:
    log = generated_log(seed)
    lake_of(tmp_path / "lake", log)
    for entity in JOIN_KEYS:
        expected = expected_rows(entity, log, POLICIES)
        assert len(expected) > 20
        assert spark_rows(spark, entity, tmp_path / "lake", POLICIES) == expected


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


def test_a_sum_beyond_64_bits_saturates_as_in_python(spark: SparkSession, tmp_path: Path) -> None:
    values = ", ".join([f"('up', {2**62})"] * 3 + [f"('down', {-(2**62)})"] * 3 + ["('fits', 5)"])
    amounts = spark.sql(f"SELECT * FROM VALUES {values} AS amounts(visitor_id, n)")
    summed = rows_of(amounts.groupBy("visitor_id").agg(saturating_sum("n").alias("total")), tmp_path)
    assert {row["visitor_id"]: row["total"] for row in summed} == {"up": INT64_MAX, "down": -INT64_MAX, "fits": 5}


def test_a_refused_duplicate_does_not_refuse_the_next_one(spark: SparkSession, tmp_path: Path) -> None:
    policies = replace(POLICIES, bucket=BucketPolicy(period_ms=PERIOD_MS, dedup=1))
    log = [record("same", received_at_ms=START_MS + bucket * PERIOD_MS, offset=bucket) for bucket in range(5)]
    lake_of(tmp_path / "lake", log, policies)
    found = admitted(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), policies)
    assert sorted(row["offset"] for row in rows_of(found, tmp_path)) == [0, 2, 4]


def test_what_was_received_at_the_cutoff_is_left_to_the_stream(spark: SparkSession, tmp_path: Path) -> None:
    log = [record("in", received_at_ms=CUTOFF_MS - 1), record("out", received_at_ms=CUTOFF_MS, offset=1)]
    lake_of(tmp_path / "lake", log)
    assert [row["event_id"] for row in rows_of(read_log(spark, tmp_path / "lake", 2, CUTOFF_MS), tmp_path)] == ["in"]


def expected_sessions(log: list[LogRecord]) -> list[tuple[str, int, int, list[str]]]:
    """(visitor, start, end, items) by the rule of one timeline, without bounds."""
    found = []
    for visitor, facts in reference.facts_by_key("visitor", before(log, CUTOFF_MS), POLICIES).items():
        visits = sorted({to_visit(fact) for fact in facts})
        for session in cut_sessions(visits):
            liked = [visit for visit in session if visit.kind not in ("dislike", "hide")]
            items = [item for item, _ in groupby(visit.item_id for visit in liked)]
            if len(items) > 1:
                found.append((visitor, liked[0].occurred_at_ms, liked[-1].occurred_at_ms, items))
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
    found = [(row["visitor_id"], row["started_at_ms"], row["ended_at_ms"], row["items"]) for row in rows]
    expected = expected_sessions(log)
    assert sorted(found) == sorted(expected)
    assert len(expected) > 50
