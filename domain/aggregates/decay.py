"""DecayedSum: an exponentially decayed count, exact in integers.

A fact adds the fixed-point weight ``2^20 · 2^(m/h)``, with m the start of its minute within the bucket and h the
half-life: later facts of a bucket weigh more, relative to the bucket's start. A total is (weight, start of its newest
bucket); to take a later bucket, its weight is multiplied by ``2^(-gap/h)`` and rounded half-even to an integer. The
factors come from one function here, which the batch layer asks too, so that both multiply the same doubles.
(Forward decay: Cormode, Shkapenyuk, Srivastava, Xu, "Forward decay", ICDE 2009, eq. 1.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from domain.aggregates.algebra import Column, ColumnType
from domain.aggregates.sums import saturated, summing
from domain.facts import Fact
from domain.policies import MINUTE_MS, BucketPolicy

SCALE: Final = 1 << 20


@cache
def weights_by_minute(half_life_ms: int, period_ms: int) -> tuple[int, ...]:
    """The fixed-point weight of a fact, by minute within its bucket: [minutes in a period]."""
    minutes = max(1, -(-period_ms // MINUTE_MS))
    return tuple(round(SCALE * 2.0 ** (minute * MINUTE_MS / half_life_ms)) for minute in range(minutes))


def factor(gap_ms: int, half_life_ms: int) -> float:
    """What a weight is multiplied by after `gap_ms`."""
    return float(2.0 ** (-gap_ms / half_life_ms))


def rescaled(weight: int, gap_ms: int, half_life_ms: int) -> int:
    """A weight after `gap_ms`, rounded half-even to an integer."""
    return round(weight * factor(gap_ms, half_life_ms)) if gap_ms else weight


Total = tuple[int, int]
"""(fixed-point weight, start of the bucket it is relative to)"""


@dataclass(frozen=True, slots=True)
class DecayedSum:
    """The number of facts, each halved every `half_life_ms` since it was received."""

    half_life_ms: int
    kinds: tuple[str, ...] = ()

    @property
    def state_columns(self) -> Sequence[Column]:
        return (Column("weight", ColumnType.INT),)

    @property
    def total_columns(self) -> Sequence[Column]:
        return (Column("weight", ColumnType.INT), Column("at_ms", ColumnType.INT))

    @property
    def value_columns(self) -> Sequence[Column]:
        return (Column("", ColumnType.FLOAT),)

    def zero(self) -> int:
        return 0

    def increment(self, period_ms: int) -> Callable[[Fact], int]:
        """What tells the weight of a fact, 0 for one that does not count."""
        kinds, weights = self.kinds, weights_by_minute(self.half_life_ms, period_ms)
        if kinds:
            return lambda fact: weights[fact.received_at_ms % period_ms // MINUTE_MS] if fact.kind in kinds else 0
        return lambda fact: weights[fact.received_at_ms % period_ms // MINUTE_MS]

    def adder(self, period_ms: int) -> Callable[[int, Fact], int]:
        return summing(self.increment(period_ms))

    def add(self, state: int, fact: Fact, policy: BucketPolicy) -> int:
        return self.adder(policy.period_ms)(state, fact)

    def merge(self, left: int, right: int) -> int:
        return saturated(left + right)

    def nothing(self) -> Total:
        return (0, 0)

    def extend(self, total: Total, state: int, bucket_start_ms: int) -> Total:
        weight, at_ms = total
        if not state:
            return total
        if not weight:
            return (state, bucket_start_ms)
        rescaled_weight = rescaled(weight, bucket_start_ms - at_ms, self.half_life_ms)
        return (saturated(rescaled_weight + state), bucket_start_ms)

    def finish(self, total: Total, as_of_ms: int) -> tuple[float]:
        return (self.fixed_point_at(total, as_of_ms) / SCALE,)

    def fixed_point_at(self, total: Total, as_of_ms: int) -> int:
        """The weight at an instant, an integer in units of 1/SCALE: what keys are ranked on."""
        weight, at_ms = total
        return rescaled(weight, as_of_ms - at_ms, self.half_life_ms) if weight else 0

    def pack_state(self, state: int) -> tuple[int]:
        return (state,)

    def unpack_state(self, cells: Sequence[int]) -> int:
        return cells[0]

    def pack_total(self, total: Total) -> tuple[int, int]:
        return total

    def unpack_total(self, cells: Sequence[int]) -> Total:
        return (cells[0], cells[1])
