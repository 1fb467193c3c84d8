"""LastN: the items of the newest facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from domain.aggregates.algebra import Column, ColumnType
from domain.facts import Fact
from domain.policies import BucketPolicy

Entries = tuple[list[int], list[str], list[str]]
"""(occurred_at_ms, item_id and kind of each entry), aligned and ascending. A decoded one is a list of them."""


@dataclass(frozen=True, slots=True)
class LastN:
    """The `n` items acted on last, each by its newest fact, oldest first; with `kinds`, only facts of those kinds.

    Ordered by (occurred_at_ms, item_id, kind): nothing that two facts of one instant differ in but what is shown, so
    that the order in which they come cannot show. Whatever a part leaves out has n newer items in that part, and so in
    the whole.
    """

    n: int
    kinds: tuple[str, ...] = ()

    @property
    def state_columns(self) -> Sequence[Column]:
        return (
            Column("at_ms", ColumnType.INTS),
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

    def zero(self) -> Entries:
        return ([], [], [])

    def add(self, state: Entries, fact: Fact, policy: BucketPolicy) -> Entries:
        if self.kinds and fact.kind not in self.kinds:
            return state
        at_ms, items, kinds = state
        at, item, kind = fact.occurred_at_ms, fact.item_id, fact.kind
        if at_ms and (at, item, kind) < (at_ms[-1], items[-1], kinds[-1]):
            return self.merge(state, ([at], [item], [kind]))
        if item in items:
            place = items.index(item)
            del at_ms[place], items[place], kinds[place]
        elif len(items) == self.n:
            del at_ms[0], items[0], kinds[0]
        at_ms.append(at)
        items.append(item)
        kinds.append(kind)
        return state

    def merge(self, left: Entries, right: Entries) -> Entries:
        newest = {item: (at, item, kind) for at, item, kind in sorted([*_rows(left), *_rows(right)])}
        kept = sorted(newest.values())[-self.n :]
        return ([entry[0] for entry in kept], [entry[1] for entry in kept], [entry[2] for entry in kept])

    def nothing(self) -> Entries:
        return self.zero()

    def extend(self, total: Entries, state: Entries, bucket_start_ms: int) -> Entries:
        return self.merge(total, state)

    def finish(self, total: Entries, as_of_ms: int) -> tuple[Any, ...]:
        at_ms, items, kinds = total
        return (items, at_ms, kinds)

    def pack_state(self, state: Entries) -> tuple[Any, ...]:
        at_ms, items, kinds = state
        return (at_ms, items, kinds)

    def unpack_state(self, cells: Sequence[Any]) -> Entries:
        at_ms, items, kinds = cells
        return (at_ms, items, kinds)

    pack_total = pack_state
    unpack_total = unpack_state


def _rows(entries: Entries) -> Iterator[tuple[int, str, str]]:
    return zip(*entries, strict=True)
