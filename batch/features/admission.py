"""Rule 1 in native Spark columns: which records count, equal to `domain.reference.admitted`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from batch.features.facts import ORDER
from domain.facts import Stamp
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord
from domain.reference import admitted as admitted_by_reference
from schemas.events import InteractionEvent


def admitted(facts: DataFrame, policies: Policies) -> DataFrame:
    """The facts that count, partitioned by visitor and kept in the session.

    A visitor whose buckets all have no more records than the bound had no flood, and one whose events never came back
    in an earlier bucket than before can be judged record by record: then admission is native, one shuffle and one sort.
    Another visitor goes through the reference itself: a flooded record is not remembered, so the two rules meet there.
    """
    marked = _marked(facts.repartition("visitor_id"), policies.bucket).persist(StorageLevel.MEMORY_AND_DISK)
    native = marked.where(~F.col("_is_repeat")).drop("_is_repeat", "_is_unclear")
    flooded = F.max("_records") > policies.admission.admitted_max
    disorderly = (
        marked.groupBy("visitor_id", "partition", "bucket_ms")
        .agg(F.count(F.lit(1)).alias("_records"), F.max("_is_unclear").alias("_is_unclear"))
        .groupBy("visitor_id")
        .agg(flooded.alias("_is_flooded"), F.max("_is_unclear").alias("_is_unclear"))
        .where(F.col("_is_flooded") | F.col("_is_unclear"))
        .select("visitor_id")
    )
    if disorderly.isEmpty():
        return native
    left = marked.drop("_is_repeat", "_is_unclear").join(disorderly, "visitor_id", "left_semi")
    screened = left.groupBy("visitor_id").applyInPandas(_by_reference(policies), left.schema)
    orderly = native.join(disorderly, "visitor_id", "left_anti")
    return orderly.unionByName(screened).repartition("visitor_id").persist(StorageLevel.MEMORY_AND_DISK)


def _marked(facts: DataFrame, policy: BucketPolicy) -> DataFrame:
    """The facts with `_is_repeat`: there is an earlier record of the event in its bucket or the `dedup` before.

    Only the newest bucket of the earlier records is looked at. If it lies before those buckets, all do; if it lies
    behind them, it tells nothing of the others: `_is_unclear`.
    """
    earlier = Window.partitionBy("visitor_id", "partition", "event_id").orderBy(*ORDER)
    newest = F.max("bucket_ms").over(earlier.rowsBetween(Window.unboundedPreceding, -1))
    oldest_ms = F.col("bucket_ms") - policy.dedup * policy.period_ms
    is_repeat = F.col("_newest").between(oldest_ms, F.col("bucket_ms"))
    return (
        facts.withColumn("_newest", newest)
        .withColumn("_is_repeat", F.coalesce(is_repeat, F.lit(col=False)))
        .withColumn("_is_unclear", F.coalesce(F.col("_newest") > F.col("bucket_ms"), F.lit(col=False)))
        .drop("_newest")
    )


def _by_reference(policies: Policies) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def screen(facts: pd.DataFrame) -> pd.DataFrame:
        stamps = zip(facts["received_at_ms"], facts["partition"], facts["offset"], strict=True)
        records = [
            LogRecord(_skeleton(visitor_id, event_id), Stamp(int(received), int(partition), int(offset)))
            for visitor_id, event_id, (received, partition, offset) in zip(
                facts["visitor_id"], facts["event_id"], stamps, strict=True
            )
        ]
        kept = {(one.stamp.partition, one.stamp.offset) for one in admitted_by_reference(records, policies)}
        places: list[Any] = list(zip(facts["partition"], facts["offset"], strict=True))
        return facts[[place in kept for place in places]]

    return screen


def _skeleton(visitor_id: str, event_id: str) -> InteractionEvent:
    """An event with what admission looks at."""
    return InteractionEvent(event_id=event_id, visitor_id=visitor_id, item_id="-", kind="view", occurred_at_ms=0)
