"""The lake's rows as facts: `domain.facts.to_fact`, in Spark columns."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from domain.facts import MICROS, MILLIS
from schemas.events import CRITIC, UNKNOWN_CATEGORY

ORDER: Final = ("partition", "offset")
"""What a record is admitted by; history has partition -1, so it comes first."""


def read_log(spark: SparkSession, lake_dir: Path, version: int, cutoff_ms: int) -> DataFrame:
    """The records of all buckets below the cutoff, as one version of the lake has them.

    What is admitted of a bucket depends on that bucket and earlier ones only, so the cut may come first.
    """
    lake = spark.read.format("delta").option("versionAsOf", str(version)).load(str(lake_dir))
    return to_facts(lake.where(F.col("bucket_ms") < cutoff_ms))


def to_facts(rows: DataFrame) -> DataFrame:
    """Rows of the lake as facts, with the stamp and the bucket of each record, its `personalise` and its `slate_id`."""
    return rows.select(
        *ORDER,
        "received_at_ms",
        "bucket_ms",
        "occurred_at_ms",
        "event_id",
        "visitor_id",
        "item_id",
        "kind",
        "personalise",
        _value_micros().alias("value_micros"),
        F.when(F.size("categories") > 0, F.col("categories"))
        .otherwise(F.array(F.lit(UNKNOWN_CATEGORY)))
        .alias("categories"),
        "utc_offset_min",
        F.coalesce("session_id", F.lit("")).alias("session_id"),
        _critic_milli().alias("critic_milli"),
        "slate_id",
    )


def _value_micros() -> Column:
    """`rint` rounds half-even, as Python's `round` does."""
    return F.coalesce(F.rint(F.col("value") * F.lit(float(MICROS))).cast("long"), F.lit(0).cast("long"))


def _critic_milli() -> Column:
    weight = F.coalesce(F.rint(F.col("weight") * F.lit(float(MILLIS))).cast("long"), F.lit(MILLIS).cast("long"))
    return F.when(F.col("source") == CRITIC, weight).otherwise(F.lit(0).cast("long"))
