"""Rule 1 in native Spark columns: which records count, equal to `domain.reference.admitted`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.storagelevel import StorageLevel

from batch.features.facts import ORDER
from domain.facts import Stamp
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord
from domain.reference import admitted as admitted_by_reference
from schemas.events import InteractionEvent


def _is_history() -> Column:
    """Imported history and live records are admitted apart: the stream has never seen what was imported."""
    return (F.col("partition") < 0).alias("is_history")


def admitted(facts: DataFrame, policies: Policies) -> DataFrame:
    """The facts that count, partitioned by visitor and kept in the session.

    A visitor without more than the bound in any bucket, duplicates aside, had no flood, and then admission is native.
    Another one goes through the reference itself: a flooded record is not remembered, so the two rules meet there.
    """
    by_visitor = facts.repartition("visitor_id")
    native = _without_duplicates(by_visitor, policies.bucket).persist(StorageLevel.MEMORY_AND_DISK)
    crowded = (
        native.groupBy("visitor_id", _is_history(), "bucket_ms")
        .count()
        .where(F.col("count") > policies.admission.admitted_max)
        .select("visitor_id")
        .distinct()
    )
    if crowded.isEmpty():
        return native
    disorderly = by_visitor.join(crowded, "visitor_id", "left_semi")
    screened = disorderly.groupBy("visitor_id").applyInPandas(_by_reference(policies), facts.schema)
    orderly = native.join(crowded, "visitor_id", "left_anti")
    return orderly.unionByName(screened).repartition("visitor_id").persist(StorageLevel.MEMORY_AND_DISK)


def _without_duplicates(facts: DataFrame, policy: BucketPolicy) -> DataFrame:
    """The first record of each event id, and again one that comes more than `dedup` buckets after an admitted one.

    Of one bucket only the first record of an id can be admitted: whatever refuses it, refuses the later ones. So the
    fold over earlier records sees at most one a bucket.
    """
    same_event = Window.partitionBy("visitor_id", _is_history(), "event_id")
    same_bucket = Window.partitionBy("visitor_id", _is_history(), "event_id", "bucket_ms")
    ranked = facts.withColumn("_place", F.row_number().over(same_bucket.orderBy(*ORDER)))
    earlier = F.collect_list("bucket_ms").over(same_event.orderBy(*ORDER))  # with the record's own, which is last
    firsts = ranked.where(F.col("_place") == 1).withColumn("_buckets", earlier)
    is_admitted = (F.size("_buckets") == 1) | _last_is_admitted(F.col("_buckets"), policy)
    return firsts.where(is_admitted).drop("_place", "_buckets")


def _last_is_admitted(buckets: Column, policy: BucketPolicy) -> Column:
    """Fold buckets in offset order into the admitted ones; the last is admitted when it ends the result."""
    remembered_ms = policy.dedup * policy.period_ms

    def take(kept: Column, bucket: Column) -> Column:
        is_duplicate = F.exists(kept, lambda before: (before >= bucket - remembered_ms) & (before <= bucket))
        return F.when(is_duplicate, kept).otherwise(F.concat(kept, F.array(bucket)))

    kept = F.aggregate(buckets, F.array().cast("array<bigint>"), take)
    return F.element_at(kept, -1) == F.element_at(buckets, -1)


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
