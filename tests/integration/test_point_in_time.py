"""Training sets by Spark, joined by Spark and by Feast, checked by the reference."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from batch.features.admission import admitted
from batch.features.facts import read_log
from batch.spark import spark_session
from batch.training.point_in_time import (
    FILE,
    POSITION,
    VIEWS,
    known_columns,
    newest_cutoffs,
    write_snapshots,
    write_training_set,
)
from batch.training.point_in_time_command import records_around, sampled_rows
from batch.training.point_in_time_feast import historical_rows
from batch.training.point_in_time_leaks import LeakedFeature, plain, refuse_leaks
from domain.facts import Stamp
from domain.features import JOIN_KEYS
from domain.reference import LogRecord
from feature_repo.offline import offline_path
from infra.settings import BatchSettings, Settings
from tests.builders import START_MS
from tests.integration.generated_log import PERIOD_MS, POLICIES, generated_log, lake_of

CUTOFF_MS = START_MS + 44 * PERIOD_MS
CUTOFFS = newest_cutoffs(CUTOFF_MS, 2, POLICIES.bucket)


class World:
    """A lake, its admitted facts and the training set of its newest buckets."""

    def __init__(self, spark: SparkSession, folder: Path) -> None:
        self.spark = spark
        self.settings = Settings(state_dir=folder, policies=POLICIES)
        self.log = generated_log(3, records=700)
        lake_of(self.settings.lake_dir, self.log)
        self.facts = self.admitted(2)
        self.first = self.build(self.facts, folder / "first")

    def admitted(self, version: int) -> DataFrame:
        return admitted(read_log(self.spark, self.settings.lake_dir, version, CUTOFF_MS), POLICIES)

    def build(self, facts: DataFrame, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        write_snapshots(facts, folder, CUTOFFS, POLICIES.bucket)
        assert write_training_set(facts, folder, CUTOFFS) > 50
        return folder

    def check(self, path: Path) -> int:
        rows = sampled_rows(path, 25)
        return refuse_leaks(rows, records_around(self.settings, rows, CUTOFF_MS), POLICIES)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("state")
    settings = Settings(state_dir=folder, batch=BatchSettings(spark_memory="1g"))
    with spark_session(settings, records=1_000) as spark:
        yield World(spark, folder)


def test_nothing_in_a_training_set_was_unknown_then(world: World) -> None:
    rows = pq.read_table(world.first / FILE).to_pylist()
    assert all(row["known_to_ms"] <= row["received_at_ms"] < row["known_to_ms"] + PERIOD_MS for row in rows)
    assert any(row["history_plays"] is None for row in rows)  # the first bucket of some item
    assert sum(row["history_interactions"] is not None for row in rows) > 20
    assert world.check(world.first / FILE) == 25 * sum(len(known_columns(entity)) for entity in VIEWS)


def test_feast_joins_the_same_rows(world: World) -> None:
    ours = pd.DataFrame(sampled_rows(world.first / FILE, 40))
    theirs = historical_rows(world.first, ours)
    assert theirs[list(POSITION)].to_numpy().tolist() == ours[list(POSITION)].to_numpy().tolist()
    for entity in VIEWS:
        for name in known_columns(entity):
            assert [known(cell) for cell in theirs[name]] == [known(cell) for cell in ours[name]], name


def known(cell: Any) -> Any:
    """A cell as plain values; pandas says NaN for null, and then reads whole numbers as floats."""
    if isinstance(cell, float):
        return None if math.isnan(cell) else int(cell)
    return plain(cell)


def test_a_past_cut_gives_the_same_bytes_again_although_the_log_has_grown(world: World) -> None:
    newer = [
        LogRecord(one.event, Stamp(CUTOFF_MS + number, 0, 900_000 + number))
        for number, one in enumerate(world.log[:50])
    ]
    lake_of(world.settings.lake_dir, newer)
    again = world.build(world.admitted(4), world.settings.state_dir / "again")
    assert (again / FILE).read_bytes() == (world.first / FILE).read_bytes()


def test_a_feature_that_was_computed_with_later_facts_stops_the_run_by_its_name(world: World) -> None:
    """The visitor's spend is taken from a snapshot at the end of the bucket instead of its start."""
    folder = world.settings.state_dir / "leaking"
    folder.mkdir()
    write_snapshots(world.facts, folder, CUTOFFS, POLICIES.bucket)
    path = Path(offline_path(folder, VIEWS["visitor"].name))
    spent = (
        world.facts.where("personalise").where(F.col("kind") == "view").groupBy(JOIN_KEYS["visitor"]).count()
    )  # of all days: the future too
    known_rows = world.spark.read.parquet(offline_path(world.first, VIEWS["visitor"].name))
    leaking = known_rows.join(spent, "visitor_id").withColumn("history_spend", F.col("count")).drop("count")
    leaking.write.mode("overwrite").parquet(str(path.with_suffix(".leak")))
    path.unlink()
    path.with_suffix(".leak").rename(path)
    write_training_set(world.facts, folder, CUTOFFS)
    with pytest.raises(LeakedFeature, match="visitor feature spend of "):
        world.check(folder / FILE)
