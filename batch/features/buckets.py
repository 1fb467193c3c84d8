"""Windowed and BucketRate: folds that look at the states of whole buckets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from batch.features.arrays import Flags, Groups, Ints, counts_of, lists_of, starts_of
from batch.features.cells import Cells, cells_of, is_kept
from batch.features.fact_arrays import FactArrays
from domain.aggregates import BucketRate, Histogram, Windowed
from domain.aggregates.windowed import BUCKETS_MAX


def bucket_rate_totals(aggregate: BucketRate, facts: FactArrays) -> list[pa.Array]:
    """Of every entity, how many buckets have anything, and how many of these enough."""
    cells = cells_of(aggregate.of, facts)
    counted = cells.where(cells.amount != 0)
    reached = counted.where(counted.amount >= aggregate.at_least)
    count = facts.entity_count
    return [pa.array(np.bincount(each.entity, minlength=count).astype(np.int64)) for each in (counted, reached)]


def window_totals(aggregate: Windowed, facts: FactArrays) -> list[pa.Array]:
    """The newest buckets of every entity: those that a later instant may still ask for, and the state of each."""
    cells = cells_of(aggregate.of, facts)
    if not isinstance(aggregate.of, Histogram):
        cells = cells.where(cells.amount != 0)
    groups = Groups.by(cells.entity, cells.bucket)  # the keys of a bucket stay in order
    cells = cells.where(groups.order)
    newest = _is_newest(cells.entity[groups.starts], cells.bucket[groups.starts], aggregate, facts)
    return _packed(cells.where(np.repeat(newest, groups.counts)), aggregate, facts)


def _is_newest(entity: Ints, bucket: Ints, aggregate: Windowed, facts: FactArrays) -> Flags:
    """Which buckets, ascending within their entities, `Windowed.extend` keeps."""
    starts = starts_of(entity)
    counts = counts_of(starts, len(entity))
    ends = np.repeat(starts + counts, counts)
    age_ms = (bucket[ends - 1] - bucket) * facts.policy.period_ms
    newest: Flags = (ends - np.arange(len(entity)) <= BUCKETS_MAX) & (age_ms < max(aggregate.windows_ms))
    return newest


def _packed(cells: Cells, aggregate: Windowed, facts: FactArrays) -> list[pa.Array]:
    """Cells in ascending order of (entity, bucket, key) as columns of `pack_total`: those behind the inner total's."""
    starts = starts_of(cells.entity, cells.bucket)
    owners, count = cells.entity[starts], facts.entity_count
    buckets = lists_of(owners, count, facts.bucket_ms(cells.bucket[starts]))
    if not isinstance(aggregate.of, Histogram):
        return [buckets, lists_of(owners, count, cells.amount)]
    bucket = np.repeat(np.arange(len(starts)), counts_of(starts, len(cells.entity)))
    kept = is_kept(bucket, cells.key, cells.words, aggregate.of.keys_max)
    states = [cells.words.take(pa.array(cells.key[kept])), cells.amount[kept]]
    return [buckets, *(lists_of(owners, count, lists_of(bucket[kept], len(starts), each)) for each in states)]
