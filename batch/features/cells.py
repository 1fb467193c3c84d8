"""Integer cells: what each fact adds to a feature's state, as Spark columns.

The state of every aggregate but LastN is a sparse vector of integers: Sum and DecayedSum have one cell, a Histogram
one a key. So all of them are one sum, by (entity, feature, key, bucket), over cells that facts are exploded into.
"""

from __future__ import annotations

from typing import Final, assert_never

from pyspark.sql import Column
from pyspark.sql import functions as F

from domain.aggregates import DecayedSum, Histogram, Sum
from domain.aggregates.decay import factor, weights_by_minute
from domain.aggregates.sums import INT64_MAX
from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS, BucketPolicy
from domain.quantities import Key, Quantity

CELL_TYPE: Final = "array<struct<feature:int,key:string,amount:bigint>>"
VANISHED_AFTER: Final = 64
"""Half-lives after which every 64-bit weight has been rounded to zero."""

Cellular = Sum | DecayedSum | Histogram


def cells_of(number: int, aggregate: Cellular, policy: BucketPolicy) -> Column:
    """The cells, none or more, that a fact adds to the feature of this number."""
    inner = aggregate.of if isinstance(aggregate, Histogram) else aggregate
    amount = _amount_of(inner, policy)
    keys = _keys_of(aggregate.key) if isinstance(aggregate, Histogram) else F.array(F.lit(""))
    feature = F.lit(number).cast("int").alias("feature")
    cells = F.transform(keys, lambda key: F.struct(feature, key.alias("key"), amount.alias("amount")))
    return F.when(amount != 0, cells.cast(CELL_TYPE)).otherwise(F.array().cast(CELL_TYPE))


def half_life_of(aggregate: Cellular) -> int | None:
    """The half-life in milliseconds of a decayed aggregate, None of a plain one."""
    inner = aggregate.of if isinstance(aggregate, Histogram) else aggregate
    return inner.half_life_ms if isinstance(inner, DecayedSum) else None


def _amount_of(aggregate: Sum | DecayedSum, policy: BucketPolicy) -> Column:
    if isinstance(aggregate, Sum):
        amount = _quantity_of(aggregate.quantity)
    else:
        minute = F.floor(F.col("received_at_ms") % policy.period_ms / MINUTE_MS).cast("int")
        amount = F.get(literals(weights_by_minute(aggregate.half_life_ms, policy.period_ms), "bigint"), minute)
    if not aggregate.kinds:
        return amount
    return F.when(F.col("kind").isin(*aggregate.kinds), amount).otherwise(F.lit(0).cast("bigint"))


def _quantity_of(quantity: Quantity) -> Column:
    """`domain.quantities.quantity_of`."""
    match quantity:
        case "one":
            return F.lit(1).cast("bigint")
        case "value_micros":
            return F.col("value_micros")
        case _:
            assert_never(quantity)


def _keys_of(key: Key) -> Column:
    """`domain.quantities.keys_of`."""
    match key:
        case "kind":
            return F.array("kind")
        case "category":
            return F.array_distinct("categories")
        case "local_hour":
            local_ms = F.col("occurred_at_ms") + F.col("utc_offset_min") * F.lit(MINUTE_MS)
            hour = F.floor(F.pmod(local_ms, F.lit(DAY_MS)) / HOUR_MS)
            return F.array(F.lpad(hour.cast("string"), 2, "0"))
        case _:
            assert_never(key)


def saturating_sum(amount: str) -> Column:
    """A sum that stops at 64 bits instead of failing, as `domain.aggregates.sums.saturated` does."""
    largest = F.lit(INT64_MAX).cast("bigint")
    overflown = F.when(F.sum(F.col(amount).cast("double")) < 0, -largest).otherwise(largest)
    return F.coalesce(F.try_sum(amount), overflown)


def decayed_total(buckets: Column, half_life_ms: int, policy: BucketPolicy, span_ms: int) -> Column:
    """`DecayedSum.extend` over sorted (bucket_ms, amount): the weight, relative to the newest bucket.

    The factors are literals that Python computed, because Java's `pow` may differ in the last bit.
    """
    gaps_max = min(span_ms, VANISHED_AFTER * half_life_ms) // policy.period_ms + 1
    factors = literals([factor(gap * policy.period_ms, half_life_ms) for gap in range(gaps_max + 1)], "double")

    def extend(total: Column, bucket: Column) -> Column:
        gap = F.floor((bucket.bucket_ms - total.bucket_ms) / policy.period_ms).cast("int")
        scaled = F.rint(total.amount.cast("double") * F.coalesce(F.get(factors, gap), F.lit(0.0))).cast("bigint")
        return F.struct(bucket.bucket_ms.alias("bucket_ms"), (scaled + bucket.amount).alias("amount"))

    first, rest = F.get(buckets, 0), F.slice(buckets, 2, F.size(buckets))
    return F.aggregate(rest, first, extend).amount


def literals(numbers: list[float] | list[int] | tuple[int, ...], kind: str) -> Column:
    """Numbers as one constant array; `repr` and Java's parser give the same doubles."""
    return F.split(F.lit(",".join(map(repr, numbers))), ",").cast(f"array<{kind}>")
