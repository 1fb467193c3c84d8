"""Spark's count of impressions against the naive reference, on generated logs with everything that must not count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from batch.features.admission import admitted
from batch.features.facts import read_log
from batch.features.impressions import impression_counts, read_impressions, with_impressions
from batch.features.plan import view_rows
from batch.lake.impressions import IMPRESSIONS, read_slates_with
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import Lake
from batch.parquet import write_file
from batch.spark import spark_session
from domain import impressions as naive
from domain import reference
from domain.features import GENERATION, features_of
from domain.impressions import ImpressionCounts, ImpressionRecord
from domain.merge import merge_cells
from domain.policies import AdmissionPolicy, BucketPolicy, Policies
from domain.reference import LogRecord
from infra.settings import BatchSettings, Settings
from schemas.events import KINDS
from tests.builders import START_MS, impression, interaction, record, stamp

PERIOD_MS = 3_600_000
BUCKETS = 6
CUTOFF_MS = START_MS + 4 * PERIOD_MS
POLICIES = Policies(bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1), admission=AdmissionPolicy(30))
VISITORS = tuple(f"v{number}" for number in range(12))
ITEMS = tuple(f"i{number}" for number in range(20))


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"), batch=BatchSettings(spark_memory="1g"))
    with spark_session(settings, records=1_000) as session:
        yield session


def generated_impressions(random: Random, count: int) -> list[ImpressionRecord]:
    """One in five takes a slate id that another has: a repeated delivery, or another visitor's forgery."""
    log: list[ImpressionRecord] = []
    for offset in range(count):
        received_at_ms = START_MS + random.randrange(BUCKETS * PERIOD_MS)
        again = random.choice(log).event if log and random.random() < 0.2 else None
        if again is not None and random.random() < 0.5:
            event = again
        else:
            shown = tuple(random.choices(ITEMS, k=random.randrange(6)))
            slate_id = again.slate_id if again else f"s{offset}"
            event = impression(slate_id, visitor=random.choice(VISITORS), items=shown)
        log.append(ImpressionRecord(event, stamp(received_at_ms, partition=offset % 3, offset=offset)))
    return log


def generated_interactions(random: Random, shown: list[ImpressionRecord], count: int) -> list[LogRecord]:
    """Most name a slate, its visitor and one of its items; others a stranger's, one never shown, or none at all."""
    log = []
    for offset in range(count):
        slate = random.choice(shown).event
        is_flood = random.random() < 0.15
        event = interaction(
            f"e{random.randrange(30)}" if random.random() < 0.2 else f"unique{offset}",
            visitor="v0" if is_flood else slate.visitor_id if random.random() < 0.8 else random.choice(VISITORS),
            item=random.choice(slate.items) if slate.items and random.random() < 0.8 else random.choice(ITEMS),
            kind=random.choice(KINDS),
            slate_id=random.choice((slate.slate_id,) * 5 + ("never shown", None)),
            personalise=random.random() > 0.1,
        )
        received_at_ms = START_MS + random.randrange(BUCKETS * PERIOD_MS)
        partition = -1 if offset % 10 == 0 else offset % 2
        log.append(LogRecord(event, stamp(received_at_ms, partition=partition, offset=offset)))
    return log


def rows_of(frame: DataFrame, folder: Path) -> list[dict[str, Any]]:
    path = folder / "rows.parquet"
    write_file(frame, path)
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def spark_counts(
    spark: SparkSession, folder: Path, shown: list[ImpressionRecord], log: list[LogRecord], policies: Policies
) -> dict[str, ImpressionCounts]:
    lake = Lake.open(folder / "lake", policies.bucket)
    lake.append([INTERACTIONS.to_rows(log, policies.bucket)], {})
    table = Lake.open(folder / "impressions", policies.bucket, IMPRESSIONS)
    for part in (shown[::2], shown[1::2]):
        table.append([IMPRESSIONS.to_rows(part, policies.bucket)], {})
    facts = admitted(read_log(spark, folder / "lake", lake.version, CUTOFF_MS), policies)
    impressions = read_impressions(spark, folder / "impressions", table.version, CUTOFF_MS)
    rows = rows_of(impression_counts(impressions, facts), folder)
    return {row["item_id"]: ImpressionCounts(row["shown"], row["clicked"], row["converted"]) for row in rows}


@pytest.mark.parametrize(("seed", "admitted_max"), [(1, 10_000), (2, 20), (3, 3)])
def test_every_count_of_every_item_equals_the_reference(
    spark: SparkSession, tmp_path: Path, seed: int, admitted_max: int
) -> None:
    policies = replace(POLICIES, admission=replace(POLICIES.admission, admitted_max=admitted_max))
    random = Random(seed)
    shown = generated_impressions(random, 400)
    log = generated_interactions(random, shown, 900)
    found = spark_counts(spark, tmp_path, shown, log, policies)
    counted = reference.admitted(log, policies)
    assert found == naive.impression_counts(shown, counted, CUTOFF_MS)
    assert len(found) == len(ITEMS)
    assert min(sum(counts) for counts in zip(*found.values(), strict=True)) > 5

    table = Lake.open(tmp_path / "impressions", policies.bucket, IMPRESSIONS)
    some = set(ITEMS[:3])  # as parity asks: a few items, and the slates that show them
    of_some = naive.impression_counts(read_slates_with(table, some, CUTOFF_MS), counted, CUTOFF_MS)
    assert {item: of_some[item] for item in some} == {item: found[item] for item in some}


def test_without_an_impression_there_is_no_row(spark: SparkSession, tmp_path: Path) -> None:
    clicked = [LogRecord(interaction(slate_id="s1"), stamp())]
    assert spark_counts(spark, tmp_path, [], clicked, POLICIES) == {}


def test_an_item_that_was_shown_and_never_acted_on_has_a_profile_of_nothing(
    spark: SparkSession, tmp_path: Path
) -> None:
    shown = [ImpressionRecord(impression("s1", items=("book", "lamp")), stamp())]
    log = [record("e1", item="book", slate_id="s1"), record("e2", item="cup", offset=1)]
    Lake.open(tmp_path / "lake", POLICIES.bucket).append([INTERACTIONS.to_rows(log, POLICIES.bucket)], {})
    table = Lake.open(tmp_path / "impressions", POLICIES.bucket, IMPRESSIONS)
    table.append([IMPRESSIONS.to_rows(shown, POLICIES.bucket)], {})
    facts = admitted(read_log(spark, tmp_path / "lake", 1, CUTOFF_MS), POLICIES)
    plain = view_rows("item", facts, POLICIES.bucket, cutoff_ms=CUTOFF_MS)
    counts = impression_counts(read_impressions(spark, tmp_path / "impressions", 1, CUTOFF_MS), facts)
    frame = with_impressions(plain, counts, CUTOFF_MS)
    assert frame.schema.simpleString() == plain.schema.simpleString()

    rows = {row.pop("item_id"): row for row in rows_of(frame, tmp_path)}
    without = {row.pop("item_id"): row for row in rows_of(plain, tmp_path)}
    assert rows["book"] == without["book"] | {"history_shown": 1, "history_clicked": 1}
    assert rows["cup"] == without["cup"]
    of_nothing = {"cutoff_ms": CUTOFF_MS, "history_generation": GENERATION, "history_shown": 1}
    of_nothing |= {"history_clicked": 0, "history_converted": 0, "event_timestamp": rows["cup"]["event_timestamp"]}
    for feature in features_of("item"):
        cells = feature.aggregate.pack_total(feature.aggregate.nothing())
        of_nothing |= zip(feature.total_names, cells, strict=True)
    assert rows["lamp"] == of_nothing
    assert merge_cells("item", rows["lamp"], None)["click_through_rate"] == 0.05 * 100 / 101
