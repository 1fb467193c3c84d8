"""The catalogue compiled to one Spark plan an entity: the rows of `visitor_history` and `item_profile`.

Facts are partitioned by entity, and each kind of aggregate is compiled for all features that use it together: what is
shuffled does not grow with the catalogue (visitors nothing, items the few columns of each section). A new feature in
the catalogue needs no change here; a new kind of aggregate needs a section, and stops the build until it has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batch.features.buckets import bucket_totals
from batch.features.cells import decayed_totals, half_life_of, plain_totals
from batch.features.parts import Part, parts_of
from batch.features.quantities import integer
from batch.features.ranks import ranked_totals
from batch.features.scalars import scalar_totals
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

SCALARS: Final = (Sum, MinMax)
CELLS: Final = (Histogram, DecayedSum)
BUCKETS: Final = (Windowed, BucketRate)
RANKS: Final = (LastN, KMinValues)


class UncompiledAggregate(ConsistencyError):
    """The catalogue uses an aggregate that the batch layer has no Spark columns for."""

    def __init__(self, part: Part) -> None:
        self.part = part
        super().__init__(
            f"{part.names[0]}: {type(part.aggregate).__name__} has no compilation to Spark columns; "
            "write one in batch/features"
        )


def view_rows(
    entity: Entity, facts: DataFrame, policy: BucketPolicy, *, first_bucket_ms: int, cutoff_ms: int
) -> DataFrame:
    """The rows of the entity's batch view: its key, `domain.features.batch_view_columns`, and the time of the cutoff.

    `facts` are admitted facts of the buckets from `first_bucket_ms` to `cutoff_ms`. The counts of the features that
    need more than facts are 0.
    """
    key, features = JOIN_KEYS[entity], features_of(entity)
    counted = facts.where("personalise") if entity == "visitor" else facts
    rows = total_rows(key, counted, features, policy, span_ms=cutoff_ms - first_bucket_ms)
    head = (integer(cutoff_ms).alias("cutoff_ms"), integer(GENERATION).alias("history_generation"))
    totals = [name for feature in features for name in feature.total_names]
    counts = [integer(0).alias(name) for each in batch_only_of(entity) for name, _ in each.total_columns()]
    at = F.timestamp_millis(F.lit(cutoff_ms)).alias(TIMESTAMP_COLUMN)
    return rows.select(key, *head, *totals, *counts, at)


def total_rows(
    key: str, facts: DataFrame, features: Sequence[Feature], policy: BucketPolicy, *, span_ms: int
) -> DataFrame:
    """The features' totals of every entity with a fact: the key and `Feature.total_columns`.

    `span_ms` is from the first bucket to the cutoff.
    """
    by_key = facts.repartition(key)  # costs nothing where they are so partitioned already
    parts = parts_of(features)
    for part in parts:
        if not isinstance(part.aggregate, (*SCALARS, *CELLS, *BUCKETS, *RANKS)):
            raise UncompiledAggregate(part)
    sections = []
    cells = _made_of(parts, CELLS)
    if plain := [part for part in cells if not half_life_of(part.aggregate)]:
        sections.append(plain_totals(key, by_key, plain, policy))
    if decaying := [part for part in cells if half_life_of(part.aggregate)]:
        sections.append(decayed_totals(key, by_key, decaying, policy, span_ms))
    if buckets := _made_of(parts, BUCKETS):
        sections.append(bucket_totals(key, by_key, buckets, policy))
    sections += ranked_totals(key, by_key, _made_of(parts, RANKS))
    rows = scalar_totals(key, by_key, _made_of(parts, SCALARS))
    for section in sections:  # all are partitioned by the key, so that a merge moves nothing; a broadcast would
        rows = rows.join(section.hint("merge"), key, "left")
    return rows.select(key, *(column for feature in features for column in _whole(feature)))


def _made_of(parts: Sequence[Part], aggregates: tuple[type, ...]) -> list[Part]:
    return [part for part in parts if isinstance(part.aggregate, aggregates)]


def _whole(feature: Feature) -> list[Column]:
    """The feature's columns, with the total of no buckets where an entity has no fact that counts."""
    nothing = feature.aggregate.pack_total(feature.aggregate.nothing())
    return [
        F.coalesce(F.col(name), _literal(cell, kind)).alias(name)
        for (name, kind), cell in zip(feature.total_columns(), nothing, strict=True)
    ]


def _literal(cell: Any, kind: ColumnType) -> Column:
    """A cell of a total of no buckets: an integer, or an empty list."""
    return F.array().cast(_SPARK_TYPES[kind]) if kind in _SPARK_TYPES else integer(cell)


_SPARK_TYPES: Final = {
    ColumnType.INTS: "array<bigint>",
    ColumnType.STRINGS: "array<string>",
    ColumnType.INT_LISTS: "array<array<bigint>>",
    ColumnType.STRING_LISTS: "array<array<string>>",
}
