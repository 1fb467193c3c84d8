"""How often an item was shown, clicked and converted, in Spark columns: `domain.impressions`, and equal to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.types import DataType

from batch.features.facts import ORDER
from batch.features.plan import TIMESTAMP_COLUMN
from domain.features import GENERATION, IMPRESSIONS, JOIN_KEYS, features_of
from domain.impressions import CLICKS, CONVERSIONS

KEY: Final = JOIN_KEYS["item"]


def read_impressions(spark: SparkSession, folder: Path, version: int, cutoff_ms: int) -> DataFrame:
    """The impressions of all buckets below the cutoff, as one version of their table has them."""
    table = spark.read.format("delta").option("versionAsOf", str(version)).load(str(folder))
    below = table.where(F.col("bucket_ms") < cutoff_ms)
    return below.select("received_at_ms", *ORDER, "slate_id", "visitor_id", "items")


def impression_counts(impressions: DataFrame, facts: DataFrame) -> DataFrame:
    """[item_id, shown, clicked, converted] of every item that was shown, by the rules of `domain.impressions`.

    `facts` are admitted facts; both are cut at the same instant. Only what followed a slate is joined with the
    slates, so the cost is one shuffle of them, and one of the item ids that they show.
    """
    slates = _first_of_each(impressions)
    shown = slates.select(F.explode(F.array_distinct("items")).alias("item_id")).groupBy("item_id")
    followed = (
        slates.join(_followed(facts), "slate_id")
        .where((F.col("visitor_id") == F.col("actor_id")) & F.expr("array_contains(items, item_id)"))
        .groupBy("item_id")
        .agg(F.sum("clicks").alias("clicked"), F.sum("conversions").alias("converted"))
    )
    counts = shown.agg(F.count(F.lit(1)).alias("shown")).join(followed, "item_id", "left")
    zero = F.lit(0).cast("bigint")
    return counts.select("item_id", "shown", *(F.coalesce(name, zero).alias(name) for name in ("clicked", "converted")))


def with_impressions(item_rows: DataFrame, counts: DataFrame, cutoff_ms: int) -> DataFrame:
    """The rows of `item_profile` with the counts in place of their zeros.

    An item that was shown and never acted on has no row yet: it gets one, whose totals are those of no facts.
    """
    columns = {count: name for count, (name, _) in zip(IMPRESSIONS.counts, IMPRESSIONS.total_columns(), strict=True)}
    counted = counts.select(KEY, *(F.col(count).alias(name) for count, name in columns.items()))
    empty: dict[str, Any] = {"cutoff_ms": cutoff_ms, "history_generation": GENERATION} | dict.fromkeys(
        columns.values(), 0
    )
    for feature in features_of("item"):
        empty |= zip(feature.total_names, feature.aggregate.pack_total(feature.aggregate.nothing()), strict=True)
    cells = {
        field.name: F.timestamp_millis(F.lit(cutoff_ms))
        if field.name == TIMESTAMP_COLUMN
        else _literal(empty[field.name], field.dataType)
        for field in item_rows.schema
        if field.name != KEY
    }
    rows = item_rows.drop(*columns.values()).join(counted, KEY, "full_outer")
    return rows.select(KEY, *(F.coalesce(name, cell).alias(name) for name, cell in cells.items()))


def _literal(cell: Any, kind: DataType) -> Column:
    literal = F.array(*map(F.lit, cell)) if isinstance(cell, (list, tuple)) else F.lit(cell)
    return literal.cast(kind)


def _first_of_each(impressions: DataFrame) -> DataFrame:
    """Of the records with one slate id, the first."""
    same_slate = Window.partitionBy("slate_id").orderBy("received_at_ms", *ORDER)
    ranked = impressions.withColumn("_place", F.row_number().over(same_slate))
    return ranked.where(F.col("_place") == 1).select("slate_id", "visitor_id", "items")


def _followed(facts: DataFrame) -> DataFrame:
    """[slate_id, actor_id, item_id, clicks, conversions], the last two 0 or 1: what visitors made of slates."""
    counting = facts.where(F.col("slate_id").isNotNull() & F.col("kind").isin(*CLICKS, *CONVERSIONS))
    return counting.groupBy("slate_id", F.col("visitor_id").alias("actor_id"), "item_id").agg(
        _any_of(CLICKS).alias("clicks"), _any_of(CONVERSIONS).alias("conversions")
    )


def _any_of(kinds: tuple[str, ...]) -> Column:
    return F.max(F.col("kind").isin(*kinds).cast("bigint"))
