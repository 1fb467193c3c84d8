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

    A visitor without more than the bound of different events in any bucket had no flood, and then admission is native.
    Another one goes through the reference itself: a flooded record is not remembered, so the two rules meet there.
    """
    by_visitor = facts.repartition("visitor_id")
    firsts = _firsts_of_buckets(by_visitor).persist(StorageLevel.MEMORY_AND_DISK)
    native = _without_duplicates(firsts, policies.bucket)
    crowded = (
        firsts.groupBy("visitor_id", "partition", "bucket_ms")
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


def _firsts_of_buckets(facts: DataFrame) -> DataFrame:
    """Of each event the first record in a bucket of a partition: no other of that bucket can be admitted."""
    same = Window.partitionBy("visitor_id", "partition", "event_id", "bucket_ms").orderBy(*ORDER)
    return facts.withColumn("_place", F.row_number().over(same)).where(F.col("_place") == 1).drop("_place")


def _without_duplicates(firsts: DataFrame, policy: BucketPolicy) -> DataFrame:
    """Those without an earlier record of the event in the `dedup` buckets before, of which each has one at most."""
    earlier = Window.partitionBy("visitor_id", "partition", "event_id").orderBy(*ORDER)
    before = F.collect_list("bucket_ms").over(earlier.rowsBetween(Window.unboundedPreceding, -1))
    oldest_ms = F.col("bucket_ms") - policy.dedup * policy.period_ms
    was_seen = F.exists("_before", lambda bucket_ms: bucket_ms.between(oldest_ms, F.col("bucket_ms")))
    return firsts.withColumn("_before", before).where(~was_seen).drop("_before")


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
