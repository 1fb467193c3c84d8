"""MinMax: the least and the greatest of a quantity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.aggregates.algebra import Column, ColumnType
from domain.aggregates.sums import INT64_MAX
from domain.facts import Fact
from domain.policies import BucketPolicy
from domain.quantities import QUANTITIES, Quantity

Bounds = list[int]
"""[least, greatest]"""


@dataclass(frozen=True, slots=True)
class MinMax:
    """The least and the greatest of an integer quantity; with `kinds`, only over those kinds. Both 0 without facts."""

    quantity: Quantity
    kinds: tuple[str, ...] = ()

    @property
    def state_columns(self) -> Sequence[Column]:
        return (Column("least", ColumnType.INT), Column("greatest", ColumnType.INT))

    total_columns = state_columns
    value_columns = state_columns

    def zero(self) -> Bounds:
        """The bounds of no facts: the identity of `merge`."""
        return [INT64_MAX, -INT64_MAX]

    def adder(self, period_ms: int) -> Callable[[Bounds, Fact], Bounds]:
        kinds, quantity_of = self.kinds, QUANTITIES[self.quantity]

        def add(state: Bounds, fact: Fact) -> Bounds:
            if kinds and fact.kind not in kinds:
                return state
            quantity = quantity_of(fact)
            least, greatest = state
            return [quantity if quantity < least else least, quantity if quantity > greatest else greatest]

        return add

    def add(self, state: Bounds, fact: Fact, policy: BucketPolicy) -> Bounds:
        return self.adder(policy.period_ms)(state, fact)

    def merge(self, left: Bounds, right: Bounds) -> Bounds:
        return [min(left[0], right[0]), max(left[1], right[1])]

    def nothing(self) -> Bounds:
        return self.zero()

    def extend(self, total: Bounds, state: Bounds, bucket_start_ms: int) -> Bounds:
        return self.merge(total, state)

    def finish(self, total: Bounds, as_of_ms: int) -> tuple[int, int]:
        return (total[0], total[1]) if total[0] <= total[1] else (0, 0)

    def pack_state(self, state: Bounds) -> tuple[int, int]:
        return (state[0], state[1])

    def unpack_state(self, cells: Sequence[int]) -> Bounds:
        return [cells[0], cells[1]]

    pack_total = pack_state
    unpack_total = unpack_state
