"""Histogram: one sum, plain or decayed, for each key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, TypeVar

from domain.aggregates.algebra import Column, ColumnType
from domain.aggregates.decay import DecayedSum
from domain.aggregates.sums import INT64_MAX, Sum, saturated
from domain.facts import Fact
from domain.policies import BucketPolicy
from domain.quantities import KEYS, Key

COUNT: Final = Sum()
KEYS_MAX: Final = 64
Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Histogram:
    """`of`, grouped by `key`: exact for every key that it keeps, and bounded against a sender of ever new keys.

    Of more than `keys_max` keys those of the lowest SHA-256 are kept. Such a key is among the lowest at every moment,
    so it was counted from its first fact on, whatever the order and the grouping: the cut is part of the monoid.
    `top` cuts only what is finished: ordered by value (a decayed one in fixed point), highest first, then by key; 0
    shows all that are kept.
    """

    key: Key
    of: Sum | DecayedSum = COUNT
    top: int = 0
    keys_max: int = KEYS_MAX

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that are counted, none for all."""
        return self.of.kinds

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

    def adder(self, period_ms: int) -> Callable[[dict[str, int], Fact], dict[str, int]]:
        increment, keys_of, keys_max = self.of.increment(period_ms), KEYS[self.key], self.keys_max

        def add(state: dict[str, int], fact: Fact) -> dict[str, int]:
            added = increment(fact)
            if added:
                for key in keys_of(fact):
                    total = state.get(key, 0) + added
                    state[key] = total if -INT64_MAX <= total <= INT64_MAX else saturated(total)
            return state if len(state) <= keys_max else self._bounded(state)

        return add

    def add(self, state: dict[str, int], fact: Fact, policy: BucketPolicy) -> dict[str, int]:
        return self.adder(policy.period_ms)(state, fact)

    def merge(self, left: dict[str, int], right: dict[str, int]) -> dict[str, int]:
        return self._bounded(
            {key: self.of.merge(left.get(key, 0), right.get(key, 0)) for key in left.keys() | right.keys()}
        )

    def nothing(self) -> dict[str, Any]:
        return {}

    def extend(self, total: dict[str, Any], state: dict[str, int], bucket_start_ms: int) -> dict[str, Any]:
        extended = dict(total)
        for key, value in state.items():
            extended[key] = self.of.extend(total.get(key, self.of.nothing()), value, bucket_start_ms)
        return self._bounded(extended)

    def _bounded(self, found: dict[str, Kept]) -> dict[str, Kept]:
        if len(found) <= self.keys_max:
            return found
        return {key: found[key] for key in lowest_keys(found, self.keys_max)}

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
        return (keys, [state[key] for key in keys])  # a state of `of` is its own and only cell

    def unpack_state(self, cells: Sequence[Any]) -> dict[str, int]:
        return {key: self.of.unpack_state(rest) for key, *rest in zip(*cells, strict=True)}

    def pack_total(self, total: dict[str, Any]) -> tuple[Any, ...]:
        keys = sorted(total)
        cells = [self.of.pack_total(total[key]) for key in keys]
        return (keys, *_aligned(cells, len(self.of.total_columns)))

    def unpack_total(self, cells: Sequence[Any]) -> dict[str, Any]:
        return {key: self.of.unpack_total(rest) for key, *rest in zip(*cells, strict=True)}


def lowest_keys(keys: Iterable[str], count: int) -> list[str]:
    """The `count` keys of the lowest SHA-256 in hexadecimal."""
    return sorted(keys, key=lambda key: sha256(key.encode()).hexdigest())[:count]


def _per_key(columns: Sequence[Column]) -> tuple[Column, ...]:
    return tuple(Column(column.suffix or "values", column.type.per_bucket) for column in columns)


def _aligned(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows of cells as `width` columns."""
    return [[row[index] for row in rows] for index in range(width)]
