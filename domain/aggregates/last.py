"""LastN: the items of the newest facts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from struct import pack, unpack
from typing import Any, Final

from domain.aggregates.algebra import Column, ColumnType
from domain.facts import Fact
from domain.policies import BucketPolicy
from schemas.events import KINDS

Entry = tuple[int, str, str]
"""(occurred_at_ms, item_id, kind)"""

Packed = tuple[bytes, str, bytes]
"""Ascending entries by column: eight bytes an instant, the items, each behind a separator, and a byte a kind.

Three values instead of 150, because a visitor's state is decoded and encoded with each of its events. A decoded one is
a list of them.
"""

Total = tuple[list[int], list[str], list[str]]

SEPARATOR: Final = "\x00"
"""No item id has control characters."""

_INSTANT_BYTES: Final = 8
_CODES: Final[dict[str, bytes]] = {kind: bytes((code,)) for code, kind in enumerate(KINDS)}
"""Kinds are only ever added at the end."""


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

    def zero(self) -> Packed:
        return (b"", "", b"")

    def adder(self, period_ms: int) -> Callable[[Packed, Fact], Packed]:
        counted, n = self.kinds, self.n

        def add(state: Packed, fact: Fact) -> Packed:
            at_ms, item, kind = fact.occurred_at_ms, fact.item_id, fact.kind
            if counted and kind not in counted:
                return state
            instants, items, kinds = state
            if instants and at_ms <= int.from_bytes(instants[-_INSTANT_BYTES:], "big"):
                return _packed(self._kept([*_entries(state), (at_ms, item, kind)]))
            added = SEPARATOR + item
            start = (items + SEPARATOR).find(added + SEPARATOR)
            if start >= 0:
                place = items.count(SEPARATOR, 0, start)
                instants = instants[: _INSTANT_BYTES * place] + instants[_INSTANT_BYTES * (place + 1) :]
                items = items[:start] + items[start + len(added) :]
                kinds = kinds[:place] + kinds[place + 1 :]
            elif len(kinds) == n:
                second = (items + SEPARATOR).find(SEPARATOR, 1)
                instants, items, kinds = instants[_INSTANT_BYTES:], items[second:], kinds[1:]
            return (instants + at_ms.to_bytes(_INSTANT_BYTES, "big"), items + added, kinds + _CODES[kind])

        return add

    def add(self, state: Packed, fact: Fact, policy: BucketPolicy) -> Packed:
        return self.adder(policy.period_ms)(state, fact)

    def merge(self, left: Packed, right: Packed) -> Packed:
        return _packed(self._kept([*_entries(left), *_entries(right)]))

    def _kept(self, entries: Iterable[Entry]) -> list[Entry]:
        """The n newest, with the newest entry of each item alone."""
        newest = {entry[1]: entry for entry in sorted(entries)}
        return sorted(newest.values())[-self.n :]

    def nothing(self) -> Total:
        return ([], [], [])

    def extend(self, total: Total, state: Packed, bucket_start_ms: int) -> Total:
        return _columns(self._kept([*zip(*total, strict=True), *_entries(state)]))

    def finish(self, total: Total, as_of_ms: int) -> tuple[Any, ...]:
        at_ms, items, kinds = total
        return (items, at_ms, kinds)

    def pack_state(self, state: Packed) -> tuple[Any, ...]:
        instants, items, kinds = state
        at_ms = list(unpack(f">{len(kinds)}Q", instants))
        return (at_ms, items.split(SEPARATOR)[1:], [KINDS[code] for code in kinds])

    def unpack_state(self, cells: Sequence[Any]) -> Packed:
        return _packed(list(zip(*cells, strict=True)))

    def pack_total(self, total: Total) -> tuple[Any, ...]:
        return tuple(total)

    def unpack_total(self, cells: Sequence[Any]) -> Total:
        at_ms, items, kinds = cells
        return (at_ms, items, kinds)


def _entries(state: Packed) -> list[Entry]:
    instants, items, kinds = state
    at_ms = unpack(f">{len(kinds)}Q", instants)
    return list(zip(at_ms, items.split(SEPARATOR)[1:], [KINDS[code] for code in kinds], strict=True))


def _packed(entries: Sequence[Entry]) -> Packed:
    instants = pack(f">{len(entries)}Q", *(entry[0] for entry in entries))
    return (
        instants,
        "".join(SEPARATOR + entry[1] for entry in entries),
        b"".join(_CODES[entry[2]] for entry in entries),
    )


def _columns(entries: Iterable[Entry]) -> Total:
    at_ms, items, kinds = [], [], []
    for at, item, kind in entries:
        at_ms.append(at)
        items.append(item)
        kinds.append(kind)
    return (at_ms, items, kinds)
