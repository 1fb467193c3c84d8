"""The catalogue compiled to one Spark plan an entity: the rows of `visitor_history` and `item_profile`.

Spark brings the facts of an entity together, and whatever the catalogue has, that is one exchange: of items the few
columns that its aggregates look at, of visitors none, because admitted facts are partitioned by visitor. The totals of
a partition's entities are then made of arrays, by a function for each kind of aggregate. A new feature in the catalogue
needs no change here; a new kind of aggregate needs a function, and stops the build until it has one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from batch.features.arrays import by_partition
from batch.features.buckets import bucket_rate_totals, window_totals
from batch.features.cells import decayed_totals, histogram_totals
from batch.features.fact_arrays import FactArrays
from batch.features.parts import Part, parts_of
from batch.features.ranks import distinct_totals, last_totals
from batch.features.scalars import min_max_totals, sum_totals
from domain.aggregates import (
    BucketRate,
    ColumnType,
    DecayedSum,
    Histogram,
    KMinValues,
    LastN,
    MinMax,
    Sum,
    Windowed,
)
from domain.features import GENERATION, JOIN_KEYS, Entity, Feature, batch_only_of, features_of
from domain.policies import BucketPolicy
from schemas.errors import ConsistencyError

TIMESTAMP_COLUMN: Final = "event_timestamp"

TOTALS_OF: Final[dict[type, Callable[[Any, FactArrays], list[pa.Array]]]] = {
    Sum: sum_totals,
    MinMax: min_max_totals,
    DecayedSum: decayed_totals,
    Histogram: histogram_totals,
    Windowed: window_totals,
    BucketRate: bucket_rate_totals,
    LastN: last_totals,
    KMinValues: distinct_totals,
}

SPARK_TYPES: Final = {
    ColumnType.INT: "bigint",
    ColumnType.INTS: "array<bigint>",
    ColumnType.STRINGS: "array<string>",
    ColumnType.INT_LISTS: "array<array<bigint>>",
    ColumnType.STRING_LISTS: "array<array<string>>",
}


class UncompiledAggregate(ConsistencyError):
    """The catalogue uses an aggregate that the batch layer has no arrays for."""

    def __init__(self, part: Part) -> None:
        self.part = part
        super().__init__(
            f"{part.names[0]}: {type(part.aggregate).__name__} has no function that makes its totals; "
            "write one in batch/features and name it in batch/features/plan.py"
        )


def view_rows(entity: Entity, facts: DataFrame, policy: BucketPolicy, *, cutoff_ms: int) -> DataFrame:
    """The rows of the entity's batch view: its key, `domain.features.batch_view_columns`, and the time of the cutoff.

    `facts` are admitted facts of the buckets below `cutoff_ms`, partitioned by visitor. The counts of the features that
    need more than facts are 0.
    """
    key, features = JOIN_KEYS[entity], features_of(entity)
    if entity == "visitor":
        rows = total_rows(key, facts.where("personalise"), features, policy)
    else:
        rows = total_rows(key, facts.select(*columns_for(key, features, policy)).repartition(key), features, policy)
    zeros = {name: F.lit(0).cast("bigint") for each in batch_only_of(entity) for name, _ in each.total_columns()}
    head = {"cutoff_ms": cutoff_ms, "history_generation": GENERATION}
    return rows.select(
        key,
        *(F.lit(number).cast("bigint").alias(name) for name, number in head.items()),
        *(name for feature in features for name in feature.total_names),
        *(zero.alias(name) for name, zero in zeros.items()),
        F.timestamp_millis(F.lit(cutoff_ms)).alias(TIMESTAMP_COLUMN),
    )


def total_rows(key: str, facts: DataFrame, features: Sequence[Feature], policy: BucketPolicy) -> DataFrame:
    """The features' totals of every entity with a fact: the key and `Feature.total_columns`.

    All facts of an entity are in one partition.
    """
    parts = parts_of(features)
    for part in parts:
        if type(part.aggregate) not in TOTALS_OF:
            raise UncompiledAggregate(part)
    columns = [(name, SPARK_TYPES[kind]) for feature in features for name, kind in feature.total_columns()]
    schema = ", ".join(f"{name} {kind}" for name, kind in [(key, "string"), *columns])
    needed = facts.select(*columns_for(key, features, policy))
    return by_partition(needed, partial(partition_totals, key, parts, policy), schema)


def columns_for(key: str, features: Sequence[Feature], policy: BucketPolicy) -> list[str]:
    """The columns of facts that the features' totals follow from: those that are looked at where there is no fact."""
    asked = AskedColumns()
    partition_totals(key, parts_of(features), policy, asked)
    return sorted(asked.names)


class AskedColumns:
    """A table of facts without rows, that remembers the columns it was asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        self.names.add(name)
        return pa.chunked_array([], _ARROW_TYPES.get(name, pa.int64()))


_ARROW_TYPES: Final = {name: pa.string() for name in ("visitor_id", "item_id", "kind")} | {
    "categories": pa.list_(pa.string())
}


def partition_totals(key: str, parts: Sequence[Part], policy: BucketPolicy, facts: Any) -> pa.Table:
    """The totals of all entities of a partition."""
    arrays = FactArrays(facts, key, policy)
    columns = {key: arrays.entities}
    for part in parts:
        columns |= zip(part.names, TOTALS_OF[type(part.aggregate)](part.aggregate, arrays), strict=True)
    return pa.table(columns)
