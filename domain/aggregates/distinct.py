"""KMinValues: about how many distinct members, by the k least of their hashes.

With fewer than k hashes the count is exact. With k, the k-th least of the hashes, as a fraction u of their range, gives
the unbiased estimate ``(k - 1) / u``, of a relative standard error of about ``1 / sqrt(k - 2)`` (Beyer, Haas, Reinwald,
Sismanis, Gemulla, "On synopses for distinct-value estimation under multiset operations", SIGMOD 2007, eq. 1).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter
from typing import Final, Literal

from domain.aggregates.algebra import Column, ColumnType
from domain.facts import Fact
from domain.policies import BucketPolicy

Member = Literal["item_id", "visitor_id"]

HASH_DIGITS: Final = 15
HASH_RANGE: Final = 16**HASH_DIGITS
"""A hash is the first 15 hexadecimal digits of SHA-256: 60 bits, so that every store's integers hold it."""


@lru_cache(1 << 16)
def hash_of(member: str) -> int:
    """The hash of a member, 0 <= hash < HASH_RANGE. The same visitors and items come again and again."""
    return int.from_bytes(sha256(member.encode()).digest()[:8]) >> 4


@dataclass(frozen=True, slots=True)
class KMinValues:
    """The number of distinct items or visitors; with `kinds`, only over facts of those kinds."""

    member: Member
    k: int = 64
    kinds: tuple[str, ...] = ()

    @property
    def state_columns(self) -> Sequence[Column]:
        return (Column("hashes", ColumnType.INTS),)

    total_columns = state_columns

    @property
    def value_columns(self) -> Sequence[Column]:
        return (Column("", ColumnType.FLOAT),)

    def zero(self) -> list[int]:
        return []

    def adder(self, period_ms: int) -> Callable[[list[int], Fact], list[int]]:
        kinds, member, k = self.kinds, attrgetter(self.member), self.k

        def add(state: list[int], fact: Fact) -> list[int]:
            if kinds and fact.kind not in kinds:
                return state
            hashed = hash_of(member(fact))
            if len(state) == k and hashed > state[-1]:
                return state
            place = bisect_left(state, hashed)
            if place == len(state) or state[place] != hashed:
                state.insert(place, hashed)
                del state[k:]
            return state

        return add

    def add(self, state: list[int], fact: Fact, policy: BucketPolicy) -> list[int]:
        return self.adder(policy.period_ms)(state, fact)

    def merge(self, left: list[int], right: list[int]) -> list[int]:
        return sorted({*left, *right})[: self.k]

    def nothing(self) -> list[int]:
        return []

    def extend(self, total: list[int], state: list[int], bucket_start_ms: int) -> list[int]:
        return self.merge(total, state)

    def finish(self, total: list[int], as_of_ms: int) -> tuple[float]:
        if len(total) < self.k:
            return (float(len(total)),)
        return ((self.k - 1) * HASH_RANGE / total[-1],)

    def pack_state(self, state: list[int]) -> tuple[list[int]]:
        return (list(state),)

    def unpack_state(self, cells: Sequence[list[int]]) -> list[int]:
        return list(cells[0])

    pack_total = pack_state
    unpack_total = unpack_state
