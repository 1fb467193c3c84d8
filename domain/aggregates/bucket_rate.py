"""BucketRate: in what share of the buckets with any fact a count reaches a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.aggregates.algebra import Adder, Column, ColumnType
from domain.aggregates.sums import Sum
from domain.facts import Fact
from domain.policies import BucketPolicy
from domain.rates import rate_with_prior

Total = tuple[int, int]
"""(buckets with any fact, those that reached the threshold)"""


@dataclass(frozen=True, slots=True)
class BucketRate:
    """The probability that a bucket in which `of` counts anything counts at least `at_least`.

    It is a rate with a Beta prior of mean `prior_rate` that weighs as much as `prior_weight` buckets.
    """

    of: Sum
    at_least: int
    prior_rate: float
    prior_weight: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that are counted, none for all."""
        return self.of.kinds

    @property
    def state_columns(self) -> Sequence[Column]:
        return (Column("count", ColumnType.INT),)

    @property
    def total_columns(self) -> Sequence[Column]:
        return (Column("buckets", ColumnType.INT), Column("reached", ColumnType.INT))

    @property
    def value_columns(self) -> Sequence[Column]:
        return (Column("", ColumnType.FLOAT),)

    def zero(self) -> int:
        return 0

    def adder(self, period_ms: int) -> Adder:
        return self.of.adder(period_ms)

    def add(self, state: int, fact: Fact, policy: BucketPolicy) -> int:
        return self.of.add(state, fact, policy)

    def merge(self, left: int, right: int) -> int:
        return self.of.merge(left, right)

    def nothing(self) -> Total:
        return (0, 0)

    def extend(self, total: Total, state: int, bucket_start_ms: int) -> Total:
        if not state:
            return total
        return (total[0] + 1, total[1] + (state >= self.at_least))

    def finish(self, total: Total, as_of_ms: int) -> tuple[float]:
        return (rate_with_prior(total[1], total[0], self.prior_rate, self.prior_weight),)

    def pack_state(self, state: int) -> tuple[int]:
        return (state,)

    def unpack_state(self, cells: Sequence[int]) -> int:
        return cells[0]

    def pack_total(self, total: Total) -> Total:
        return (total[0], total[1])

    def unpack_total(self, cells: Sequence[int]) -> Total:
        return (cells[0], cells[1])
