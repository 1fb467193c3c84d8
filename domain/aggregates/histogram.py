"""Histogram: one sum, plain or decayed, for each key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.aggregates.algebra import Column, ColumnType
from domain.aggregates.decay import DecayedSum
from domain.aggregates.sums import Sum
from domain.facts import Fact
from domain.policies import BucketPolicy
from domain.quantities import Key, keys_of

COUNT: Final = Sum()


@dataclass(frozen=True, slots=True)
class Histogram:
    """`of`, grouped by `key`. States and totals keep every key; `top` cuts only what is finished.

    Finished keys are ordered by value (a decayed one in fixed point), highest first, then by key; `top` 0 keeps all.
    """

    key: Key
    of: Sum | DecayedSum = COUNT
    top: int = 0

    @property
    def state_columns(self) -> Sequence[Column]:
        return (Column("keys", ColumnType.STRINGS), *_per_key(self.of.state_columns))

    @property
    def total_columns(self) -> Sequence[Column]:
        return (Column("keys", ColumnType.STRINGS), *_per_key(self.of.total_columns))

    @property
    def value_columns(self) -> Sequence[Column]:
        return (Column("keys", ColumnType.STRINGS), *_per_key(self.of.value_columns))

    def zero(self) -> dict[str, int]:
        return {}

    def add(self, state: dict[str, int], fact: Fact, policy: BucketPolicy) -> dict[str, int]:
        added = self.of.add(0, fact, policy)
        if added:
            for key in keys_of(self.key, fact):
                state[key] = state.get(key, 0) + added
        return state

    def merge(self, left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
        return {key: left.get(key, 0) + right.get(key, 0) for key in left.keys() | right.keys()}

    def nothing(self) -> dict[str, Any]:
        return {}

    def extend(self, total: dict[str, Any], state: dict[str, int], bucket_start_ms: int) -> dict[str, Any]:
        extended = dict(total)
        for key, value in state.items():
            extended[key] = self.of.extend(total.get(key, self.of.nothing()), value, bucket_start_ms)
        return extended

    def finish(self, total: dict[str, Any], as_of_ms: int) -> tuple[Any, ...]:
        ranked = sorted(total, key=lambda key: (-self._rank_of(total[key], as_of_ms), key))
        kept = ranked[: self.top] if self.top else ranked
        return (kept, *_aligned([self.of.finish(total[key], as_of_ms) for key in kept], len(self.of.value_columns)))

    def _rank_of(self, total: Any, as_of_ms: int) -> int:
        if isinstance(self.of, DecayedSum):
            return self.of.fixed_point_at(total, as_of_ms)
        return int(total)

    def pack_state(self, state: dict[str, int]) -> tuple[Any, ...]:
        keys = sorted(state)
        cells = [self.of.pack_state(state[key]) for key in keys]
        return (keys, *_aligned(cells, len(self.of.state_columns)))

    def unpack_state(self, cells: Sequence[Any]) -> dict[str, int]:
        return {key: self.of.unpack_state(rest) for key, *rest in zip(*cells, strict=True)}

    def pack_total(self, total: dict[str, Any]) -> tuple[Any, ...]:
        keys = sorted(total)
        cells = [self.of.pack_total(total[key]) for key in keys]
        return (keys, *_aligned(cells, len(self.of.total_columns)))

    def unpack_total(self, cells: Sequence[Any]) -> dict[str, Any]:
        return {key: self.of.unpack_total(rest) for key, *rest in zip(*cells, strict=True)}


def _per_key(columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple(Column(column.suffix or "values", column.type.per_bucket) for column in columns)


def _aligned(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows of cells as `width` columns."""
    return [[row[index] for row in rows] for index in range(width)]
