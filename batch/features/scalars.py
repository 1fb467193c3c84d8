"""Sum and MinMax: one number or two for an entity."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from batch.features.arrays import Ints, saturating_sums, spread, starts_of
from batch.features.fact_arrays import FactArrays
from batch.features.quantities import quantity_of
from domain.aggregates import MinMax, Sum


def sum_totals(aggregate: Sum, facts: FactArrays) -> list[pa.Array]:
    """The sum of every entity."""
    entity, amounts = _counted(aggregate, facts)
    starts = starts_of(entity)
    return [spread(entity[starts], facts.entity_count, saturating_sums(amounts, starts), 0)]


def min_max_totals(aggregate: MinMax, facts: FactArrays) -> list[pa.Array]:
    """The least and the greatest of every entity, those of no facts where none is counted."""
    entity, amounts = _counted(aggregate, facts)
    starts = starts_of(entity)
    bounds = zip((np.minimum, np.maximum), aggregate.nothing(), strict=True)
    return [
        spread(entity[starts], facts.entity_count, bound.reduceat(amounts, starts) if len(starts) else starts, nothing)
        for bound, nothing in bounds
    ]


def _counted(aggregate: Sum | MinMax, facts: FactArrays) -> tuple[Ints, Ints]:
    """Entity and quantity of the facts that count."""
    counts = facts.is_of(aggregate.kinds)
    return facts.entity[counts], quantity_of(aggregate.quantity, facts)[counts]
