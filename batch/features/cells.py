"""Histogram and DecayedSum: cells of integers that are summed by bucket and folded over buckets.

A state is a sparse vector of integers: one cell, or one a key. A cell is all facts of one entity, key and bucket.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pyarrow as pa

from batch.features.arrays import Flags, Groups, Ints, Words, counts_of, lists_of, spread, starts_of
from batch.features.fact_arrays import FactArrays
from batch.features.quantities import keyed, quantity_of
from domain.aggregates import DecayedSum, Histogram, Sum
from domain.aggregates.decay import factor, weights_by_minute
from domain.aggregates.sums import INT64_MAX, saturated
from domain.policies import MINUTE_MS

NO_KEY = pa.array([""])


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells in ascending order of (entity, key, bucket); `key` is a place among `words`."""

    entity: Ints
    key: Ints
    bucket: Ints
    amount: Ints
    words: pa.Array

    def where(self, kept: Flags | Ints) -> Cells:
        """Some of the cells."""
        return Cells(self.entity[kept], self.key[kept], self.bucket[kept], self.amount[kept], self.words)


def cells_of(aggregate: Sum | DecayedSum | Histogram, facts: FactArrays) -> Cells:
    """What the facts add; no fact adds zero, but a cell's amounts of both signs may cancel out."""
    inner = aggregate.of if isinstance(aggregate, Histogram) else aggregate
    amounts = _amounts_of(inner, facts)
    counts = facts.is_of(inner.kinds) & (amounts != 0)
    if isinstance(aggregate, Histogram):
        rows, keys = keyed(aggregate.key, facts)
    else:
        rows, keys = np.arange(len(facts)), Words(np.zeros(len(facts), np.int64), NO_KEY)
    named = counts[rows]
    rows, places = rows[named], keys.places[named]
    groups = Groups.by(facts.entity[rows], places, facts.bucket[rows])
    firsts = groups.first_rows
    sums = groups.sums(amounts[rows])
    return Cells(facts.entity[rows[firsts]], places[firsts], facts.bucket[rows[firsts]], sums, keys.distinct)


def decayed_totals(aggregate: DecayedSum, facts: FactArrays) -> list[pa.Array]:
    """Weight and bucket of every entity."""
    folded = _folded(cells_of(aggregate, facts), aggregate.half_life_ms, facts)
    count = facts.entity_count
    weights = spread(folded.entity, count, folded.amount, 0)
    return [weights, spread(folded.entity, count, facts.bucket_ms(folded.bucket), 0)]


def histogram_totals(aggregate: Histogram, facts: FactArrays) -> list[pa.Array]:
    """Keys of every entity with what each has, and the bucket of what decays."""
    cells = cells_of(aggregate, facts)
    if isinstance(aggregate.of, DecayedSum):
        folded = _folded(cells, aggregate.of.half_life_ms, facts)
    else:
        groups = Groups.by(cells.entity, cells.key)
        firsts = groups.first_rows
        summed = groups.sums(cells.amount)
        folded = Cells(cells.entity[firsts], cells.key[firsts], cells.bucket[firsts], summed, cells.words)
    kept = folded.where(is_kept(folded.entity, folded.key, folded.words, aggregate.keys_max))
    cell_columns = [kept.words.take(pa.array(kept.key)), kept.amount]
    if isinstance(aggregate.of, DecayedSum):
        cell_columns.append(facts.bucket_ms(kept.bucket))
    return [lists_of(kept.entity, facts.entity_count, each) for each in cell_columns]


def is_kept(owners: Ints, keys: Ints, words: pa.Array, keys_max: int) -> Flags:
    """`Histogram`'s bound: of an owner with more keys, those of the lowest SHA-256. Rows are sorted by owner."""
    starts = starts_of(owners)
    counts = counts_of(starts, len(owners))
    kept = np.ones(len(owners), np.bool_)
    if counts.max(initial=0) > keys_max:
        hashed = [sha256(word.encode()).hexdigest() for word in words.to_pylist()]
        place = np.empty(len(hashed), np.int64)
        place[np.argsort(hashed)] = np.arange(len(hashed))
        lowest_first = np.lexsort((place[keys], owners))
        kept[lowest_first] = np.arange(len(owners)) - np.repeat(starts, counts) < keys_max
    return kept


def _amounts_of(aggregate: Sum | DecayedSum, facts: FactArrays) -> Ints:
    if isinstance(aggregate, Sum):
        return quantity_of(aggregate.quantity, facts)
    period_ms = facts.policy.period_ms
    weights = np.array([saturated(each) for each in weights_by_minute(aggregate.half_life_ms, period_ms)], np.int64)
    amounts: Ints = weights[facts.ints("received_at_ms") % period_ms // MINUTE_MS]
    return amounts


def _folded(cells: Cells, half_life_ms: int, facts: FactArrays) -> Cells:
    """`DecayedSum.extend` over the buckets of each key: its total, and its newest bucket.

    One bucket of all keys at a time. The factors are Python's own, because another `pow` may differ in the last bit.
    """
    groups = Groups.by(cells.entity, cells.key)
    counts, totals = groups.counts, cells.amount[groups.starts]
    for taken in range(1, int(counts.max(initial=0))):
        longer = np.flatnonzero(counts > taken)
        cell = groups.starts[longer] + taken
        gaps, which = np.unique(cells.bucket[cell] - cells.bucket[cell - 1], return_inverse=True)
        factors = np.array([factor(gap * facts.policy.period_ms, half_life_ms) for gap in gaps.tolist()])
        totals[longer] = _extended(np.rint(totals[longer] * factors[which]), cells.amount[cell])
    newest = cells.bucket[groups.starts + counts - 1]
    return Cells(cells.entity[groups.starts], cells.key[groups.starts], newest, totals, cells.words)


def _extended(rescaled: np.ndarray[tuple[int, ...], np.dtype[np.float64]], added: Ints) -> Ints:
    """Weights, never negative, with those of one more bucket; what 64 bits do not hold is their greatest number."""
    fits = rescaled < 2.0**63
    weights = np.where(fits, rescaled, 0).astype(np.int64)
    fits &= weights <= INT64_MAX - added
    return np.where(fits, weights + np.where(fits, added, 0), INT64_MAX)
