"""The catalogue compiled to one Spark plan an entity: the rows of `visitor_history` and `item_profile`.

Everything happens in one shuffle by entity. A new feature in the catalogue needs no change here; a new kind of
aggregate needs a compilation, and stops the build until it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from batch.features.cells import Cellular, cells_of, decayed_total, half_life_of, saturating_sum
from domain.aggregates import ColumnType, DecayedSum, Histogram, LastN, Sum
from domain.features import JOIN_KEYS, Entity, Feature, column_names, features_of
from domain.policies import BucketPolicy
from schemas.errors import ConsistencyError

TIMESTAMP_COLUMN: Final = "event_timestamp"
ENTRY: Final = ("occurred_at_ms", "event_id", "item_id", "kind")
"""The fields of an entry of `LastN`, in their order."""

COVERED: Final = "cutoff_ms"


class UncompiledAggregate(ConsistencyError):
    """The catalogue uses an aggregate that the batch layer has no Spark columns for."""

    def __init__(self, feature: Feature) -> None:
        self.feature = feature
        super().__init__(
            f"feature {feature.name}: {type(feature.aggregate).__name__} has no compilation to Spark columns; "
            "write one in batch/features/plan.py"
        )


def view_rows(
    entity: Entity, facts: DataFrame, policy: BucketPolicy, *, first_bucket_ms: int, cutoff_ms: int
) -> DataFrame:
    """The rows of the entity's batch view: its key, `domain.features.batch_view_columns`, and the time of the cutoff.

    `facts` are admitted facts of the buckets from `first_bucket_ms` to `cutoff_ms`.
    """
    key = JOIN_KEYS[entity]
    counted = facts.where("personalise") if entity == "visitor" else facts
    by_key = counted.repartition(key)  # costs nothing where they are so partitioned already
    cellular, newest = _by_kind(entity)
    rows = _cell_totals(key, by_key, cellular, policy, cutoff_ms - first_bucket_ms)
    for feature, aggregate in newest:
        rows = rows.join(_newest(key, by_key, feature, aggregate), key, "left")
    columns = [column for feature in features_of(entity) for column in feature.total_columns()]
    whole = [F.coalesce(F.col(name), _nothing(kind)).alias(name) for name, kind in columns]
    covered = F.lit(cutoff_ms).cast("bigint").alias(COVERED)
    at = F.timestamp_millis(F.lit(cutoff_ms)).alias(TIMESTAMP_COLUMN)
    return rows.select(key, covered, *whole, at)


def _by_kind(entity: Entity) -> tuple[list[tuple[Feature, Cellular]], list[tuple[Feature, LastN]]]:
    """The entity's features that are sums of cells, and those that are not."""
    cellular: list[tuple[Feature, Cellular]] = []
    newest: list[tuple[Feature, LastN]] = []
    for feature in features_of(entity):
        match feature.aggregate:
            case Sum() | DecayedSum() | Histogram() as aggregate:
                cellular.append((feature, aggregate))
            case LastN() as aggregate:
                newest.append((feature, aggregate))
            case _:
                raise UncompiledAggregate(feature)
    return cellular, newest


def _cell_totals(
    key: str, facts: DataFrame, features: Sequence[tuple[Feature, Cellular]], policy: BucketPolicy, span_ms: int
) -> DataFrame:
    """Sum cells by bucket, fold the buckets of each cell, and gather the cells of each entity."""
    cells = F.concat(*(cells_of(number, aggregate, policy) for number, (_, aggregate) in enumerate(features)))
    states = (
        facts.select(key, "bucket_ms", F.explode_outer(cells).alias("cell"))  # outer: an entity without cells has a row
        .groupBy(key, "cell.feature", "cell.key", "bucket_ms")
        .agg(saturating_sum("cell.amount").alias("amount"))
    )
    totals = _folded(key, states, [half_life_of(aggregate) for _, aggregate in features], policy, span_ms)
    wide = totals.groupBy(key).agg(*(_gathered(number).alias(str(number)) for number in range(len(features))))
    columns = [
        column.alias(name)
        for number, (feature, aggregate) in enumerate(features)
        for name, column in zip(
            column_names(feature.total_columns()), _unpacked(F.col(str(number)), aggregate), strict=True
        )
    ]
    return wide.select(key, *columns)


def _folded(
    key: str, states: DataFrame, half_lives_ms: Sequence[int | None], policy: BucketPolicy, span_ms: int
) -> DataFrame:
    """`Aggregate.extend` over the buckets of each cell: its total, and the newest bucket of a decayed one."""
    decayed = [number for number, half_life_ms in enumerate(half_lives_ms) if half_life_ms]
    seen = F.collect_list(F.when(F.col("feature").isin(*decayed), F.struct("bucket_ms", "amount")))
    folded = states.groupBy(key, "feature", "key").agg(
        saturating_sum("amount").alias("sum"), F.array_sort(seen).alias("buckets")
    )
    total = F.col("sum")
    for half_life_ms in sorted({each for each in half_lives_ms if each}):
        alike = [number for number, each in enumerate(half_lives_ms) if each == half_life_ms]
        weight = decayed_total(F.col("buckets"), half_life_ms, policy, span_ms)
        total = F.when(F.col("feature").isin(*alike), weight).otherwise(total)
    newest_ms = F.get("buckets", F.size("buckets") - 1).bucket_ms
    return folded.select(key, "feature", F.struct("key", total.alias("total"), newest_ms.alias("at_ms")).alias("cell"))


def _gathered(number: int) -> Column:
    """The cells of one feature of an entity, sorted by key."""
    return F.array_sort(F.collect_list(F.when(F.col("feature") == number, F.col("cell"))))


def _unpacked(cells: Column, aggregate: Cellular) -> list[Column]:
    """Sorted cells as the columns of `Aggregate.pack_total`."""
    if isinstance(aggregate, Histogram):
        kept = _lowest_keys(cells, aggregate.keys_max)
        at = [kept.at_ms] if isinstance(aggregate.of, DecayedSum) else []
        return [kept.key, kept.total, *at]
    cell = F.get(cells, 0)
    return [cell.total, cell.at_ms] if isinstance(aggregate, DecayedSum) else [cell.total]


def _lowest_keys(cells: Column, count: int) -> Column:
    """`Histogram`'s bound: of too many cells, sorted by key, those of the keys of the lowest SHA-256."""
    hashed = F.transform(cells, lambda cell: F.struct(F.sha2(cell.key, 256).alias("hash"), cell.alias("cell")))
    lowest = F.array_sort(F.slice(F.array_sort(hashed), 1, count).cell)
    return F.when(F.size(cells) > count, lowest).otherwise(cells)


def _newest(key: str, facts: DataFrame, feature: Feature, aggregate: LastN) -> DataFrame:
    """`LastN`: equal entries have one rank, as they have one place in a set."""
    counted = facts.where(F.col("kind").isin(*aggregate.kinds)) if aggregate.kinds else facts
    newest_first = Window.partitionBy(key).orderBy(*(F.desc(name) for name in ENTRY))
    kept = counted.select(
        key, *(name for name in ENTRY if name != key), F.dense_rank().over(newest_first).alias("_rank")
    )
    entries = F.array_sort(F.collect_set(F.struct(*ENTRY))).alias("_entries")
    gathered = kept.where(F.col("_rank") <= aggregate.n).groupBy(key).agg(entries)
    fields = zip(column_names(feature.total_columns()), ENTRY, strict=True)
    return gathered.select(key, *(F.col("_entries")[field].alias(name) for name, field in fields))


def _nothing(kind: ColumnType) -> Column:
    """The cell of a total of no buckets."""
    return F.lit(0).cast("bigint") if kind is ColumnType.INT else F.array().cast(_SPARK_TYPES[kind])


_SPARK_TYPES: Final = {ColumnType.INTS: "array<bigint>", ColumnType.STRINGS: "array<string>"}
