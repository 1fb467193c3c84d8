"""LastN: the newest facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.aggregates.algebra import Column, ColumnType
from domain.facts import Fact
from domain.policies import BucketPolicy

Entry = tuple[int, str, str, str]
"""(occurred_at_ms, event_id, item_id, kind)"""


@dataclass(frozen=True, slots=True)
class LastN:
    """The `n` newest facts by (occurred_at_ms, event_id), oldest first; with `kinds`, only of those kinds.

    With `distinct`, only the newest fact of each item: whatever a part leaves out has n newer items in that part, and
    so in the whole.
    """

    n: int
    kinds: tuple[str, ...] = ()
    distinct: bool = False

    @property
    def state_columns(self) -> Sequence[Column]:
        return (
            Column("at_ms", ColumnType.INTS),
            Column("events", ColumnType.STRINGS),
            Column("items", ColumnType.STRINGS),
            Column("kinds", ColumnType.STRINGS),
        )

    total_columns = state_columns

    @property
    def value_columns(self) -> Sequence[Column]:
        return (
            Column("items", ColumnType.STRINGS),
            Column("at_ms", ColumnType.INTS),
            Column("kinds", ColumnType.STRINGS),
        )

    def zero(self) -> list[Entry]:
        return []

    def add(self, state: list[Entry], fact: Fact, policy: BucketPolicy) -> list[Entry]:
        if self.kinds and fact.kind not in self.kinds:
            return state
        return self.merge(state, [(fact.occurred_at_ms, fact.event_id, fact.item_id, fact.kind)])

    def merge(self, left: list[Entry], right: list[Entry]) -> list[Entry]:
        entries = sorted({_entry(*entry) for entry in left} | {_entry(*entry) for entry in right})
        if self.distinct:
            newest = {entry[2]: entry for entry in entries}
            entries = sorted(newest.values())
        return entries[-self.n :]

    def nothing(self) -> list[Entry]:
        return []

    def extend(self, total: list[Entry], state: list[Entry], bucket_start_ms: int) -> list[Entry]:
        return self.merge(total, state)

    def finish(self, total: list[Entry], as_of_ms: int) -> tuple[Any, ...]:
        return ([entry[2] for entry in total], [entry[0] for entry in total], [entry[3] for entry in total])

    def pack_state(self, state: list[Entry]) -> tuple[Any, ...]:
        return tuple([entry[index] for entry in state] for index in range(4))

    def unpack_state(self, cells: Sequence[Any]) -> list[Entry]:
        return list(zip(*cells, strict=True))

    pack_total = pack_state
    unpack_total = unpack_state


def _entry(at_ms: int, event_id: str, item_id: str, kind: str) -> Entry:
    """The entry as a tuple: a decoded state has lists."""
    return (at_ms, event_id, item_id, kind)
