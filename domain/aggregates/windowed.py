"""Windowed: a count over all time, and over its newest windows.

A window W at an instant t is the sum of the buckets that start in (t - W, t]: with daily buckets and W = 7 days, today
and the six days before it. Nothing is anchored to the age of the batch: its rows keep the states of the buckets that a
later instant may still ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.aggregates.algebra import Adder, Column, ColumnType
from domain.aggregates.histogram import Histogram
from domain.aggregates.sums import Sum
from domain.facts import Fact
from domain.policies import DAY_MS, HOUR_MS, BucketPolicy

BUCKETS_MAX: Final = 64
"""Buckets that a total keeps at most: the newest ones. Only periods far below a day come near it."""

Total = tuple[Any, list[tuple[int, Any]]]
"""(total of all buckets, (start, state) of those that a window may still need, ascending)"""


@dataclass(frozen=True, slots=True)
class Windowed:
    """`of` over all time and, for each window, over the buckets that it covers. Windows are in milliseconds.

    `of` is a plain Sum, or a Histogram of one: what decays needs no window.
    """

    of: Sum | Histogram
    windows_ms: tuple[int, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that are counted, none for all."""
        return self.of.kinds

    @property
    def state_columns(self) -> Sequence[Column]:
        return self.of.state_columns

    @property
    def total_columns(self) -> Sequence[Column]:
        kept = [_prefixed("window", Column(c.suffix, c.type.per_bucket)) for c in self.of.state_columns]
        return (*self.of.total_columns, Column("window_buckets_ms", ColumnType.INTS), *kept)

    @property
    def value_columns(self) -> Sequence[Column]:
        windows = [_prefixed(label_of(window), c) for window in self.windows_ms for c in self.of.value_columns]
        return (*self.of.value_columns, *windows)

    def zero(self) -> Any:
        return self.of.zero()

    def adder(self, period_ms: int) -> Adder:
        return self.of.adder(period_ms)

    def add(self, state: Any, fact: Fact, policy: BucketPolicy) -> Any:
        return self.adder(policy.period_ms)(state, fact)

    def merge(self, left: Any, right: Any) -> Any:
        return self.of.merge(left, right)

    def nothing(self) -> Total:
        return (self.of.nothing(), [])

    def extend(self, total: Total, state: Any, bucket_start_ms: int) -> Total:
        if state == self.of.zero():
            return total
        whole, buckets = total
        oldest_ms = bucket_start_ms - max(self.windows_ms)  # no later instant asks for a bucket that starts by then
        kept = [(start_ms, kept) for start_ms, kept in buckets if start_ms > oldest_ms]
        kept.append((bucket_start_ms, state))
        return (self.of.extend(whole, state, bucket_start_ms), kept[-BUCKETS_MAX:])

    def finish(self, total: Total, as_of_ms: int) -> tuple[Any, ...]:
        whole, buckets = total
        values = list(self.of.finish(whole, as_of_ms))
        for window_ms in self.windows_ms:
            within: Any = self.of.nothing()
            for start_ms, state in buckets:
                if as_of_ms - window_ms < start_ms <= as_of_ms:
                    within = self.of.extend(within, state, start_ms)
            values += self.of.finish(within, as_of_ms)
        return tuple(values)

    def pack_state(self, state: Any) -> tuple[Any, ...]:
        return self.of.pack_state(state)

    def unpack_state(self, cells: Sequence[Any]) -> Any:
        return self.of.unpack_state(cells)

    def pack_total(self, total: Total) -> tuple[Any, ...]:
        whole, buckets = total
        packed = [self.of.pack_state(state) for _, state in buckets]
        columns = [[cells[index] for cells in packed] for index in range(len(self.of.state_columns))]
        return (*self.of.pack_total(whole), [start_ms for start_ms, _ in buckets], *columns)

    def unpack_total(self, cells: Sequence[Any]) -> Total:
        width = len(self.of.total_columns)
        starts, *columns = cells[width:]
        states = [self.of.unpack_state([column[at] for column in columns]) for at in range(len(starts))]
        return (self.of.unpack_total(cells[:width]), list(zip(starts, states, strict=True)))


def label_of(window_ms: int) -> str:
    """A window in a column's name: `7d`, `3h`."""
    if window_ms % DAY_MS == 0:
        return f"{window_ms // DAY_MS}d"
    return f"{window_ms // HOUR_MS}h"


def _prefixed(prefix: str, column: Column) -> Column:
    return Column(f"{prefix}_{column.suffix}" if column.suffix else prefix, column.type)
