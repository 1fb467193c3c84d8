"""Windowed and BucketRate: folds that look at the states of whole buckets."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batch.features.cells import exploded, gathered, lowest_keys
from batch.features.parts import Part
from batch.features.quantities import saturating_sum
from domain.aggregates import BucketRate, Histogram, Windowed
from domain.aggregates.windowed import BUCKETS_MAX
from domain.policies import BucketPolicy


def bucket_totals(key: str, facts: DataFrame, parts: Sequence[Part], policy: BucketPolicy) -> DataFrame:
    """[key, the parts' columns] of every entity with a bucket that is not zero."""
    aggregates = [part.aggregate for part in parts if isinstance(part.aggregate, Windowed | BucketRate)]
    counted = [aggregate.of for aggregate in aggregates]
    keyed = F.col("feature").isin([number for number, of in enumerate(counted) if isinstance(of, Histogram)])
    states = (
        exploded(key, facts, counted, policy)
        .groupBy(key, "cell.feature", "bucket_ms", "cell.key")
        .agg(saturating_sum(F.col("cell.amount")).alias("amount"))
        .where(keyed | (F.col("amount") != 0))  # amounts of both signs can cancel out; a histogram keeps the key
        .groupBy(key, "feature", "bucket_ms")
        .agg(F.sort_array(F.collect_list(F.struct("key", "amount"))).alias("cells"))
        .select(key, "feature", F.struct("bucket_ms", "cells").alias("bucket"))
    )
    wide = states.groupBy(key).agg(*(gathered(number, "bucket") for number in range(len(parts))))
    columns = [
        column.alias(name)
        for number, (part, aggregate) in enumerate(zip(parts, aggregates, strict=True))
        for name, column in zip(part.names, _unpacked(F.col(str(number)), aggregate), strict=True)
    ]
    return wide.select(key, *columns)


def _unpacked(buckets: Column, aggregate: Windowed | BucketRate) -> list[Column]:
    """Buckets in ascending order as the columns of `Aggregate.pack_total`, without those of the inner total."""
    if isinstance(aggregate, BucketRate):
        amounts = F.flatten(buckets.cells).amount
        reached = F.filter(amounts, lambda amount: amount >= aggregate.at_least)
        return [F.size(buckets).cast("bigint"), F.size(reached).cast("bigint")]
    kept = _newest(buckets, max(aggregate.windows_ms))
    if isinstance(aggregate.of, Histogram):
        keys_max = aggregate.of.keys_max
        bounded = F.transform(kept.cells, lambda cells: lowest_keys(cells, keys_max))
        return [
            kept.bucket_ms,
            F.transform(bounded, lambda cells: cells.key),
            F.transform(bounded, lambda cells: cells.amount),
        ]
    return [kept.bucket_ms, F.flatten(kept.cells).amount]


def _newest(buckets: Column, window_ms: int) -> Column:
    """Those that a later instant may still ask for, as `Windowed.extend` keeps them."""
    newest = F.slice(buckets, F.greatest(F.size(buckets) - (BUCKETS_MAX - 1), F.lit(1)), F.lit(BUCKETS_MAX))
    oldest_ms = F.get(buckets, F.size(buckets) - 1).bucket_ms - window_ms
    return F.filter(newest, lambda bucket: bucket.bucket_ms > oldest_ms)
