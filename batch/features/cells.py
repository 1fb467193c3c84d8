"""Histogram and DecayedSum: integer cells that facts are exploded into, summed and folded by key.

A state is a sparse vector of integers: one cell, or one a key. So all of them are one sum by (entity, feature, key,
bucket), and one fold over the buckets of each cell; what does not decay needs neither buckets nor a fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batch.features.parts import Part
from batch.features.quantities import by_key, integer, is_of, quantity_of, saturating_sum
from domain.aggregates import Aggregate, DecayedSum, Histogram, Sum
from domain.aggregates.decay import factor, weights_by_minute
from domain.aggregates.sums import INT64_MAX, saturated
from domain.policies import MINUTE_MS, BucketPolicy

CELL_TYPE: Final = "array<struct<feature:int,key:string,amount:bigint>>"
VANISHED_AFTER: Final = 64
"""Half-lives after which every 64-bit weight has been rounded to zero."""

Cellular = Sum | DecayedSum | Histogram


def plain_totals(key: str, facts: DataFrame, parts: Sequence[Part], policy: BucketPolicy) -> DataFrame:
    """[key, the parts' columns] of every entity with a cell, for parts that do not decay: buckets do not matter."""
    cells = (
        exploded(key, facts, _cellular(parts), policy)
        .groupBy(key, "cell.feature", "cell.key")
        .agg(saturating_sum(F.col("cell.amount")).alias("total"))
        .select(key, "feature", F.struct("key", "total").alias("cell"))
    )
    return _wide(key, cells, parts)


def decayed_totals(key: str, facts: DataFrame, parts: Sequence[Part], policy: BucketPolicy, span_ms: int) -> DataFrame:
    """The same for parts that decay. `span_ms` is from the first bucket to the cutoff."""
    aggregates = _cellular(parts)
    half_lives_ms = [half_life_ms for each in aggregates if (half_life_ms := half_life_of(each))]
    states = (
        exploded(key, facts, aggregates, policy)
        .groupBy(key, "cell.feature", "cell.key", "bucket_ms")
        .agg(saturating_sum(F.col("cell.amount")).alias("amount"))
    )
    return _wide(key, _folded(key, states, half_lives_ms, policy, span_ms), parts)


def half_life_of(aggregate: Aggregate) -> int | None:
    """The half-life in milliseconds of a decayed aggregate, None of another one."""
    inner = aggregate.of if isinstance(aggregate, Histogram) else aggregate
    return inner.half_life_ms if isinstance(inner, DecayedSum) else None


def _cellular(parts: Sequence[Part]) -> list[DecayedSum | Histogram]:
    return [part.aggregate for part in parts if isinstance(part.aggregate, DecayedSum | Histogram)]


def _wide(key: str, cells: DataFrame, parts: Sequence[Part]) -> DataFrame:
    """From a row a cell to a row an entity."""
    wide = cells.groupBy(key).agg(*(gathered(number, "cell") for number in range(len(parts))))
    columns = [
        column.alias(name)
        for number, (part, aggregate) in enumerate(zip(parts, _cellular(parts), strict=True))
        for name, column in zip(part.names, _unpacked(F.col(str(number)), aggregate), strict=True)
    ]
    return wide.select(key, *columns)


def exploded(key: str, facts: DataFrame, aggregates: Sequence[Cellular], policy: BucketPolicy) -> DataFrame:
    """[key, bucket_ms, cell]: what each fact adds, by the number of the aggregate. No cell adds zero."""
    cells = F.concat(*(_cells_of(number, aggregate, policy) for number, aggregate in enumerate(aggregates)))
    return facts.select(key, "bucket_ms", F.explode(cells).alias("cell"))


def gathered(number: int, what: str) -> Column:
    """A column of the rows of one feature of an entity, sorted, under the feature's number."""
    return F.sort_array(F.collect_list(F.when(F.col("feature") == number, F.col(what)))).alias(str(number))


def lowest_keys(cells: Column, count: int) -> Column:
    """`Histogram`'s bound: of too many cells, sorted by key, those of the keys of the lowest SHA-256."""
    hashed = F.transform(cells, lambda cell: F.struct(F.sha2(cell.key, 256).alias("hash"), cell.alias("cell")))
    lowest = F.sort_array(F.slice(F.sort_array(hashed), 1, count).cell)
    return F.when(F.size(cells) > count, lowest).otherwise(cells)


def _cells_of(number: int, aggregate: Cellular, policy: BucketPolicy) -> Column:
    inner = aggregate.of if isinstance(aggregate, Histogram) else aggregate
    amount = _amount_of(inner, policy)

    def cell(key: Column) -> Column:
        feature = F.lit(number).cast("int").alias("feature")
        return F.struct(feature, key.alias("key"), amount.alias("amount"))

    cells = by_key(aggregate.key, cell) if isinstance(aggregate, Histogram) else F.array(cell(F.lit("")))
    counts = is_of(inner.kinds) & (amount != 0)
    return F.when(counts, cells.cast(CELL_TYPE)).otherwise(F.array().cast(CELL_TYPE))


def _amount_of(aggregate: Sum | DecayedSum, policy: BucketPolicy) -> Column:
    if isinstance(aggregate, Sum):
        return quantity_of(aggregate.quantity)
    weights = [saturated(weight) for weight in weights_by_minute(aggregate.half_life_ms, policy.period_ms)]
    minute = F.floor(F.col("received_at_ms") % policy.period_ms / MINUTE_MS).cast("int")
    return F.get(_literals(weights, "bigint"), minute)


def _folded(key: str, states: DataFrame, half_lives_ms: Sequence[int], policy: BucketPolicy, span_ms: int) -> DataFrame:
    """`Aggregate.extend` over the buckets of each cell: its total, and the newest bucket."""
    buckets = F.sort_array(F.collect_list(F.struct("bucket_ms", "amount"))).alias("buckets")
    folded = states.groupBy(key, "feature", "key").agg(buckets)
    newest = F.get("buckets", F.size("buckets") - 1)
    total = newest.amount
    for half_life_ms in sorted(set(half_lives_ms)):
        alike = [number for number, each in enumerate(half_lives_ms) if each == half_life_ms]
        weight = _decayed_total(F.col("buckets"), half_life_ms, policy, span_ms)
        total = F.when(F.col("feature").isin(*alike), weight).otherwise(total)
    return folded.select(
        key, "feature", F.struct("key", total.alias("total"), newest.bucket_ms.alias("at_ms")).alias("cell")
    )


def _decayed_total(buckets: Column, half_life_ms: int, policy: BucketPolicy, span_ms: int) -> Column:
    """`DecayedSum.extend` over sorted (bucket_ms, amount): the weight, relative to the newest bucket.

    The factors are literals that Python computed, because Java's `pow` may differ in the last bit.
    """
    gaps_max = min(span_ms, VANISHED_AFTER * half_life_ms) // policy.period_ms + 1
    factors = _literals([factor(gap * policy.period_ms, half_life_ms) for gap in range(gaps_max + 1)], "double")

    def extend(total: Column, bucket: Column) -> Column:
        gap = F.floor((bucket.bucket_ms - total.bucket_ms) / policy.period_ms).cast("int")
        scaled = F.rint(total.amount.cast("double") * F.coalesce(F.get(factors, gap), F.lit(0.0))).cast("bigint")
        weight = F.coalesce(F.try_add(scaled, bucket.amount), integer(INT64_MAX))
        return F.struct(bucket.bucket_ms.alias("bucket_ms"), weight.alias("amount"))

    first, rest = F.get(buckets, 0), F.slice(buckets, 2, F.size(buckets))
    return F.aggregate(rest, first, extend).amount


def _unpacked(cells: Column, aggregate: DecayedSum | Histogram) -> list[Column]:
    """Sorted cells as the columns of `Aggregate.pack_total`."""
    if isinstance(aggregate, Histogram):
        kept = lowest_keys(cells, aggregate.keys_max)
        at = [kept.at_ms] if isinstance(aggregate.of, DecayedSum) else []
        return [kept.key, kept.total, *at]
    cell = F.get(cells, 0)
    return [cell.total, cell.at_ms]


def _literals(numbers: Sequence[float], kind: str) -> Column:
    """Numbers as one constant array; `repr` and Java's parser give the same doubles."""
    return F.split(F.lit(",".join(map(repr, numbers))), ",").cast(f"array<{kind}>")
