"""Rows as arrays: numbers in numpy, strings as places in a list of the distinct ones, and what brings rows together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from domain.aggregates.sums import saturated

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

ROWS_PER_BATCH: Final = 10_000
"""That a worker gives back to Spark at once."""

SURE: Final = 2.0**62
"""Amounts that come to less, whatever their signs, cannot leave 64 bits in any order."""


def by_partition(frame: DataFrame, made_of: Callable[[pa.Table], pa.Table], schema: StructType | str) -> DataFrame:
    """What a function makes of each partition as a whole; of one without rows it makes nothing.

    Spark hands a partition's rows to a Python worker as Arrow columns, and takes columns back.
    """
    return frame.mapInArrow(partial(_whole, made_of), schema)


def _whole(made_of: Callable[[pa.Table], pa.Table], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    found = list(batches)
    if any(batch.num_rows for batch in found):
        yield from made_of(pa.Table.from_batches(found)).combine_chunks().to_batches(ROWS_PER_BATCH)


def column_of(table: pa.Table, name: str) -> pa.Array:
    """A column in one piece."""
    return table[name].combine_chunks()


def ints_of(table: pa.Table, name: str) -> Ints:
    """A column of integers without nulls."""
    numbers: Ints = column_of(table, name).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return numbers


def codes_of(strings: pa.Array) -> Ints:
    """A number for each row, equal where the strings are; in no order."""
    codes: Ints = strings.dictionary_encode().indices.to_numpy().astype(np.int64)
    return codes


@dataclass(frozen=True, slots=True)
class Words:
    """A column of strings: the distinct ones, ascending by their bytes, and of each row the place of its own."""

    places: Ints
    distinct: pa.Array

    @classmethod
    def of(cls, strings: pa.Array) -> Words:
        """The words of a column without nulls."""
        encoded = strings.dictionary_encode()
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        places = np.empty(len(order), np.int64)
        places[order] = np.arange(len(order))
        return cls(places[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order)))

    def at(self, places: Ints) -> pa.Array:
        """The words of these places."""
        return self.distinct.take(pa.array(places))


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows brought together: `order` sorts them, and a group begins at each of the `starts` in that order."""

    order: Ints
    starts: Ints

    @classmethod
    def by(cls, *codes: Ints) -> Groups:
        """The groups of rows with equal codes, ascending by the first code, then by the next; rows keep their order."""
        joined = codes[0]
        for code in codes[1:]:
            joined = joined * (code.max(initial=0) + 1) + code
        order = np.argsort(joined, kind="stable")
        return cls(order, starts_of(joined[order]))

    @property
    def first_rows(self) -> Ints:
        """The first row of each group."""
        return self.order[self.starts]

    @property
    def counts(self) -> Ints:
        """How many rows each group has."""
        return counts_of(self.starts, len(self.order))

    def row_counts(self) -> Ints:
        """Of each row, how many there are of its group."""
        counts = np.empty(len(self.order), np.int64)
        counts[self.order] = np.repeat(self.counts, self.counts)
        return counts

    def sums(self, amounts: Ints) -> Ints:
        """The sum of each group's amounts."""
        return saturating_sums(amounts[self.order], self.starts)


def starts_of(*codes: Ints) -> Ints:
    """Where a run of rows with equal codes begins."""
    begins = np.zeros(len(codes[0]), np.bool_)
    for code in codes:
        begins |= np.diff(code, prepend=code[:1] - 1) != 0
    return np.flatnonzero(begins)


def counts_of(starts: Ints, rows: int) -> Ints:
    """The lengths of runs that begin at `starts`."""
    return np.diff(starts, append=rows)


def saturating_sums(amounts: Ints, starts: Ints) -> Ints:
    """The sums of runs; one that leaves 64 bits is the nearest number within, as by `domain.aggregates.sums`."""
    if not len(starts):
        return np.empty(0, np.int64)
    sums: Ints = np.add.reduceat(amounts, starts)
    unsure = np.flatnonzero(np.add.reduceat(np.abs(amounts.astype(np.float64)), starts) >= SURE)
    ends = np.append(starts, len(amounts))
    for run in unsure:
        sums[run] = saturated(sum(amounts[ends[run] : ends[run + 1]].tolist()))
    return sums


def lists_of(owners: Ints, count: int, values: pa.Array | Ints) -> pa.Array:
    """The values of each of `count` owners as a list; the rows are sorted by owner."""
    offsets = np.searchsorted(owners, np.arange(count + 1)).astype(np.int32)
    cells = values if isinstance(values, pa.Array) else pa.array(values)
    return pa.ListArray.from_arrays(pa.array(offsets), cells)


def spread(owners: Ints, count: int, values: Ints, otherwise: int) -> pa.Array:
    """The value of each of `count` owners, another one for those that have none."""
    cells = np.full(count, otherwise, np.int64)
    cells[owners] = values
    return pa.array(cells)
