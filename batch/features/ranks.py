"""LastN and KMinValues: the first few of an order over the members of an entity (its items, its visitors).

Facts are reduced to one row a member first, and ranks cut the rows before they are gathered, so that what is held in
memory of an entity is bounded however much it has seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from batch.features.parts import Part
from batch.features.quantities import is_of
from domain.aggregates import KMinValues, LastN
from domain.aggregates.distinct import HASH_DIGITS

ENTRY: Final = ("occurred_at_ms", "item_id", "kind")
"""The fields of an entry of `LastN`, in their order."""


def ranked_totals(key: str, facts: DataFrame, parts: Sequence[Part]) -> list[DataFrame]:
    """[key, the parts' columns] of every entity with a fact that one of the parts counts: a frame a kind of member."""
    by_member: dict[tuple[str, ...], list[Part]] = defaultdict(list)
    for part in parts:
        if isinstance(part.aggregate, LastN | KMinValues):
            by_member[_member_of(part.aggregate)].append(part)
    return [_first_of_members(key, facts, member, alike) for member, alike in by_member.items()]


def _member_of(aggregate: LastN | KMinValues) -> tuple[str, ...]:
    """The columns by which facts are one and the same."""
    return (aggregate.member,) if isinstance(aggregate, KMinValues) else ("item_id",)


def _first_of_members(key: str, facts: DataFrame, member: Sequence[str], parts: Sequence[Part]) -> DataFrame:
    """Parts of one kind of member. A member's place is null in a part that counts none of its facts."""
    aggregates = [part.aggregate for part in parts if isinstance(part.aggregate, LastN | KMinValues)]
    by_member = facts.groupBy(*dict.fromkeys((key, *member)))
    placed = by_member.agg(*(_place(each).alias(f"_place{number}") for number, each in enumerate(aggregates)))
    is_kept = []
    for number, aggregate in enumerate(aggregates):
        place = F.col(f"_place{number}")
        in_order = place.asc_nulls_last() if isinstance(aggregate, KMinValues) else place.desc_nulls_last()
        rank = F.dense_rank().over(Window.partitionBy(key).orderBy(in_order))
        placed = placed.withColumn(f"_rank{number}", rank)
        is_kept.append((F.col(f"_rank{number}") <= _count_of(aggregate)) & place.isNotNull())
    kept = [F.collect_set(F.when(each, F.col(f"_place{number}"))) for number, each in enumerate(is_kept)]
    gathered = (
        placed.where(reduce(Column.__or__, is_kept))
        .groupBy(key)
        .agg(*(F.sort_array(places).alias(f"_kept{number}") for number, places in enumerate(kept)))
    )
    columns = [
        column.alias(name)
        for number, (part, aggregate) in enumerate(zip(parts, aggregates, strict=True))
        for name, column in zip(part.names, _unpacked(F.col(f"_kept{number}"), aggregate), strict=True)
    ]
    return gathered.select(key, *columns)


def _place(aggregate: LastN | KMinValues) -> Column:
    """What a member is ordered by, and shown as: its newest entry, or its hash."""
    if isinstance(aggregate, LastN):
        return F.max(F.when(is_of(aggregate.kinds), F.struct(*ENTRY)))
    return F.when(F.max(is_of(aggregate.kinds)), _hash_of(F.col(aggregate.member)))


def _hash_of(member: Column) -> Column:
    """`domain.aggregates.distinct.hash_of`."""
    return F.conv(F.substring(F.sha2(member, 256), 1, HASH_DIGITS), 16, 10).cast("bigint")


def _count_of(aggregate: LastN | KMinValues) -> int:
    return aggregate.n if isinstance(aggregate, LastN) else aggregate.k


def _unpacked(kept: Column, aggregate: LastN | KMinValues) -> list[Column]:
    """Places in ascending order as the columns of `Aggregate.pack_total`."""
    return [kept[field] for field in ENTRY] if isinstance(aggregate, LastN) else [kept]
