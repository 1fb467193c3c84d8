"""Spark's factors: repeatable, and a visitor who is folded in gets what Spark gave them in training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml.recommendation import ALS
from pyspark.sql import SparkSession

from batch.parquet import write_file
from batch.spark import spark_session
from batch.training.als import (
    HISTORIES_LEAST,
    AlsPolicy,
    FactorisationFailed,
    counts_of_facts,
    counts_of_log,
    has_enough,
    train,
    train_apart,
)
from domain.recommenders.protocol import Session
from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary
from infra.settings import BatchSettings, Settings

ITEMS, NEVER_SEEN = 41, 40
POLICY = AlsPolicy(width=6, iterations=4, confidence=4.0, regularisation=0.02)


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    settings = Settings(state_dir=tmp_path_factory.mktemp("state"), batch=BatchSettings(spark_memory="1g"))
    with spark_session(settings, records=1_000) as session:
        yield session


def two_tastes() -> SessionLog:
    """Visitors of one half of the items, and visitors of the other."""
    generator = np.random.default_rng(3)
    return SessionLog.of((0, (20 * (number % 2) + generator.integers(0, 20, 8)).tolist()) for number in range(120))


def test_a_log_of_ten_thousand_is_learnt_in_a_session_of_its_own() -> None:
    """The first of the module, before there is the others' session: a process has one Spark at a time."""
    generator = np.random.default_rng(5)
    halves = (200 * (number % 2) + generator.integers(0, 200, 8) for number in range(1_250))
    counts = counts_of_log(SessionLog.of((0, items.tolist()) for items in halves))
    assert has_enough(counts)
    taste = train_apart(counts, 400, settings=Settings(batch=BatchSettings(spark_memory="1g")))
    assert taste.factors.shape == (400, AlsPolicy().width)
    assert (taste.rank(Session((2, 5, 9)), 20).items < 200).all()
    assert (taste.rank(Session((202, 205, 209)), 20).items >= 200).all()


def test_factors_are_repeatable_and_a_folded_in_visitor_is_the_one_that_spark_learnt(
    spark: SparkSession, tmp_path: Path
) -> None:
    log = two_tastes()
    taste = train(spark, counts_of_log(log), ITEMS, POLICY, tmp_path)
    assert not taste.factors[NEVER_SEEN].any()

    model = ALS(
        rank=6, maxIter=4, regParam=0.02, alpha=4.0, implicitPrefs=True, numUserBlocks=2, numItemBlocks=2, seed=20,
        userCol="visitor", itemCol="item", ratingCol="weight",
    ).fit(spark.read.parquet(str(tmp_path / "counts.parquet")))  # fmt: skip
    write_file(model.itemFactors, tmp_path / "again.parquet")
    for row in pq.read_table(tmp_path / "again.parquet").to_pylist():
        assert taste.factors[row["id"]].tolist() == row["features"]
    write_file(model.userFactors, tmp_path / "visitors.parquet")
    learnt = {row["id"]: row["features"] for row in pq.read_table(tmp_path / "visitors.parquet").to_pylist()}
    for visitor in (0, 1, 77):
        items, weights = np.unique(log.items[log.offsets[visitor] : log.offsets[visitor + 1]], return_counts=True)
        folded = taste.taste(items.astype(np.int32), weights.astype(np.float64))
        np.testing.assert_allclose(folded, learnt[visitor], rtol=2e-3, atol=1e-4)

    best = taste.rank(Session((2, 5)), 5).items
    assert (best < 20).all()


def test_facts_count_by_kind_and_dislikes_take_away(spark: SparkSession, tmp_path: Path) -> None:
    rows = [
        ("b", "kettle", "view", True), ("b", "kettle", "purchase", True), ("a", "spade", "view", True),
        ("a", "cup", "view", True), ("a", "cup", "dislike", True), ("a", "kettle", "view", False),
        ("b", "unlisted", "view", True), ("b", "cup", "cart", True),
    ]  # fmt: skip
    columns = ["visitor_id", "item_id", "kind", "personalise"]
    pq.write_table(pa.Table.from_pylist([dict(zip(columns, row, strict=True)) for row in rows]), tmp_path / "f.parquet")
    facts = spark.read.parquet(str(tmp_path / "f.parquet"))
    gains = {"view": 1.0, "purchase": 4.0, "dislike": -2.0}
    counts = counts_of_facts(facts, gains, Vocabulary(["cup", "kettle", "spade"]), tmp_path)
    assert counts.to_pylist() == [
        {"visitor": 0, "item": 2, "weight": 1.0},
        {"visitor": 1, "item": 1, "weight": 5.0},
    ]


def test_a_factorisation_that_failed_tells_the_last_words_of_spark(tmp_path: Path) -> None:
    (tmp_path / "spark.log").write_text("begun\n" * 9 + "java.lang.OutOfMemoryError: Java heap space\n")
    assert "begun | java.lang.OutOfMemoryError" in str(FactorisationFailed(tmp_path / "spark.log"))
    assert "no word" in str(FactorisationFailed(tmp_path / "nowhere.log"))


def test_few_or_short_histories_are_not_enough() -> None:
    short = SessionLog.of((0, [number % 7, 8, 9]) for number in range(900))
    few = SessionLog.of((0, list(range(9))) for _ in range(HISTORIES_LEAST - 1))
    assert not has_enough(counts_of_log(short))
    assert not has_enough(counts_of_log(few))


def test_without_counts_there_is_no_taste(spark: SparkSession, tmp_path: Path) -> None:
    taste = train(spark, counts_of_log(SessionLog.of([])), ITEMS, POLICY, tmp_path)
    assert len(taste.rank(Session((1,)), 5)) == 0
