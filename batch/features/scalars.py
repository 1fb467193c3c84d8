"""Sum and MinMax: one number or two for an entity, all in one aggregation."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from batch.features.parts import Part
from batch.features.quantities import integer, is_of, quantity_of, saturating_sum
from domain.aggregates import MinMax, Sum


def scalar_totals(key: str, facts: DataFrame, parts: Sequence[Part]) -> DataFrame:
    """[key, the parts' columns] of every entity with a fact."""
    columns = [
        column.alias(name)
        for part in parts
        if isinstance(part.aggregate, Sum | MinMax)
        for name, column in zip(part.names, _totals(part.aggregate), strict=True)
    ]
    return facts.groupBy(key).agg(F.count(F.lit(1)).alias("_facts"), *columns).drop("_facts")


def _totals(aggregate: Sum | MinMax) -> list[Column]:
    """The columns of `Aggregate.pack_total`; those of a MinMax are null without a fact of its kinds."""
    quantity = quantity_of(aggregate.quantity)
    if isinstance(aggregate, Sum):
        return [saturating_sum(F.when(is_of(aggregate.kinds), quantity).otherwise(integer(0)))]
    counted = F.when(is_of(aggregate.kinds), quantity)
    return [F.min(counted), F.max(counted)]
