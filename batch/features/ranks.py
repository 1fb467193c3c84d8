"""LastN and KMinValues: the first few of an order over the members of an entity (its items, its visitors)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from batch.features.arrays import Groups, Words, counts_of, lists_of, starts_of
from batch.features.fact_arrays import FactArrays
from domain.aggregates import KMinValues, LastN
from domain.aggregates.distinct import hash_of


def last_totals(aggregate: LastN, facts: FactArrays) -> list[pa.Array]:
    """The items acted on last by every entity, each by its newest fact, oldest first."""
    counts = facts.is_of(aggregate.kinds)
    items, kinds = _of(facts.words("item_id"), counts), _of(facts.words("kind"), counts)
    entity, at_ms = facts.entity[counts], facts.ints("occurred_at_ms")[counts]
    ascending = np.lexsort((kinds.places, items.places, at_ms, entity))
    newest_first = ascending[::-1]
    newest = newest_first[Groups.by(entity[newest_first], items.places[newest_first]).first_rows]
    place = np.empty(len(entity), np.int64)
    place[ascending] = np.arange(len(entity))
    kept = ascending[np.sort(place[newest])]
    starts = starts_of(entity[kept])
    lengths = counts_of(starts, len(kept))
    from_end = np.repeat(starts + lengths, lengths) - np.arange(len(kept))
    kept = kept[from_end <= aggregate.n]
    shown = (at_ms[kept], items.at(items.places[kept]), kinds.at(kinds.places[kept]))
    return [lists_of(entity[kept], facts.entity_count, each) for each in shown]


def distinct_totals(aggregate: KMinValues, facts: FactArrays) -> list[pa.Array]:
    """The lowest hashes of the members of every entity, ascending."""
    counts = facts.is_of(aggregate.kinds)
    members = _of(facts.words(aggregate.member), counts)
    entity = facts.entity[counts]
    hashes = np.array([hash_of(member) for member in members.distinct.to_pylist()], np.int64)
    firsts = Groups.by(entity, members.places).first_rows
    entity, hashed = entity[firsts], hashes[members.places[firsts]]
    order = np.lexsort((hashed, entity))
    starts = starts_of(entity[order])
    lengths = counts_of(starts, len(order))
    kept = order[np.arange(len(order)) - np.repeat(starts, lengths) < aggregate.k]
    return [lists_of(entity[kept], facts.entity_count, hashed[kept])]


def _of(words: Words, rows: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Words:
    return Words(words.places[rows], words.distinct)
