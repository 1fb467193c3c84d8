"""What the total of a feature is made of: parts that are compiled together with their like."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domain.aggregates import Aggregate, Windowed
from domain.features import Feature


@dataclass(frozen=True, slots=True)
class Part:
    """Some columns of a feature's total, and the aggregate that they follow from.

    A `Windowed` is two parts: the total of what it counts, and its newest buckets.
    """

    names: tuple[str, ...]
    aggregate: Aggregate


def parts_of(features: Iterable[Feature]) -> list[Part]:
    """The parts of the features' totals."""
    parts = []
    for feature in features:
        names, aggregate = feature.total_names, feature.aggregate
        if isinstance(aggregate, Windowed):
            width = len(aggregate.of.total_columns)
            parts.append(Part(names[:width], aggregate.of))
            names = names[width:]
        parts.append(Part(names, aggregate))
    return parts
