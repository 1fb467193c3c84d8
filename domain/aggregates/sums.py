"""Sum: counts and fixed-point sums.

Sums are 64-bit integers in every store, and saturate instead of failing: a hostile sender must not stop the platform.
No sum of non-negative quantities depends on its order, saturated or not. One of both signs would, beyond 2^63, so the
catalogue sums none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.aggregates.algebra import Column, ColumnType
from domain.facts import Fact
from domain.policies import BucketPolicy
from domain.quantities import QUANTITIES, Quantity

INT64_MAX: Final = 2**63 - 1


def saturated(value: int) -> int:
    """The value, or the nearest one that 64 bits hold."""
    return value if -INT64_MAX <= value <= INT64_MAX else min(max(value, -INT64_MAX), INT64_MAX)


def summing(increment: Callable[[Fact], int]) -> Callable[[int, Fact], int]:
    """What adds to a sum by how much a fact raises it."""

    def add(state: int, fact: Fact) -> int:
        total = state + increment(fact)
        return total if -INT64_MAX <= total <= INT64_MAX else saturated(total)

    return add


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of an integer quantity over facts; with `kinds`, only over those kinds."""

    quantity: Quantity = "one"
    kinds: tuple[str, ...] = ()

    @property
    def state_columns(self) -> Sequence[Column]:
        return (Column("", ColumnType.INT),)

    total_columns = state_columns
    value_columns = state_columns

    def zero(self) -> int:
        return 0

    def increment(self, period_ms: int) -> Callable[[Fact], int]:
        """What tells by how much a fact raises the sum."""
        kinds, quantity = self.kinds, QUANTITIES[self.quantity]
        return quantity if not kinds else lambda fact: quantity(fact) if fact.kind in kinds else 0

    def adder(self, period_ms: int) -> Callable[[int, Fact], int]:
        return summing(self.increment(period_ms))

    def add(self, state: int, fact: Fact, policy: BucketPolicy) -> int:
        return self.adder(policy.period_ms)(state, fact)

    def merge(self, left: int, right: int) -> int:
        return saturated(left + right)

    def nothing(self) -> int:
        return 0

    def extend(self, total: int, state: int, bucket_start_ms: int) -> int:
        return saturated(total + state)

    def finish(self, total: int, as_of_ms: int) -> tuple[int]:
        return (total,)

    def pack_state(self, state: int) -> tuple[int]:
        return (state,)

    def unpack_state(self, cells: Sequence[int]) -> int:
        return cells[0]

    pack_total = pack_state
    unpack_total = unpack_state
