"""A page: rows of items, none of which stands twice, in the order of what each row is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import log2
from typing import Final

from domain.policies import DAY_MS
from domain.slates import Act, Candidate, Query, Visitor, choose

CONTINUED_KINDS: Final = frozenset({"play", "cart"})
"""Acts that begin something: whoever rated, bought or turned down an item is done with it."""

CONTINUE_HALF_LIFE_MS: Final = 3 * DAY_MS
BECAUSE_KINDS: Final = frozenset({"view", "click", "play", "cart", "purchase", "rating", "like"})


class RowKind(StrEnum):
    """What a row is for. Those that hold particular items take theirs first, in this order."""

    CONTINUE = "continue_watching"
    TOP_TEN = "top_ten"
    BECAUSE = "because_you_watched"
    TOP_PICKS = "top_picks"
    TRENDING = "trending_now"
    NEW = "new_for_you"


CLAIMING: Final = (RowKind.CONTINUE, RowKind.TOP_TEN)
ITEMS_MIN: Final[Mapping[RowKind, int]] = {RowKind.CONTINUE: 1}
ITEMS_MIN_ELSE: Final = 3
"""A row of fewer items is left out: its items are better off in another one."""

TOP: Final = 10


@dataclass(frozen=True, slots=True)
class RowDraft:
    """What may stand in a row, best first, what each item is worth to the visitor, and the act that the row cites."""

    kind: RowKind
    candidates: Sequence[Candidate]
    worth: Mapping[str, float]
    query: Query
    cited: Act | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page. `value` is what it is worth: see `value_of`."""

    kind: RowKind
    items: tuple[Candidate, ...]
    value: float
    cited: Act | None = None


@dataclass(slots=True)
class _Taken:
    """What stands on the page already, by what it counts as."""

    group_of: Callable[[str], str]
    categories_of: Callable[[str], Sequence[str]]
    groups: set[str] = field(default_factory=set)

    def filled(self, draft: RowDraft) -> Row:
        """The row of what is not taken."""
        free: dict[str, Candidate] = {}
        for candidate in draft.candidates:
            group = self.group_of(candidate.item_id)
            if group not in self.groups:
                free.setdefault(group, candidate)
        items = choose(draft.query, tuple(free.values()), self.categories_of).kept
        return Row(draft.kind, items, value_of([draft.worth.get(each.item_id, 0.0) for each in items]), draft.cited)

    def take(self, row: Row) -> None:
        """Its items are taken."""
        self.groups.update(self.group_of(each.item_id) for each in row.items)


def value_of(worths: Sequence[float]) -> float:
    """What a row is worth: the sum of its items' worths, each discounted by its place as in DCG, 1 / log2(place + 2).

    (Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002, with log2.)
    """
    return sum(worth / log2(place + 2) for place, worth in enumerate(worths))


def lay_out(
    drafts: Sequence[RowDraft], group_of: Callable[[str], str], categories_of: Callable[[str], Sequence[str]]
) -> list[Row]:
    """The rows, the most valuable first; those of one value in the order of their kinds.

    The claiming rows take their items first. Then, again and again, the row that is worth most with what is left takes
    its items. A row that has too few left is left out.
    """
    taken, rows = _Taken(group_of, categories_of), []
    for draft in sorted((each for each in drafts if each.kind in CLAIMING), key=lambda each: _order(each.kind)):
        row = taken.filled(draft)
        if _is_enough(row):
            taken.take(row)
            rows.append(row)
    left = [each for each in drafts if each.kind not in CLAIMING]
    while left:
        filled = [(taken.filled(draft), draft) for draft in left]
        row, draft = max(filled, key=lambda each: each[0].value)
        left.remove(draft)
        if _is_enough(row):
            taken.take(row)
            rows.append(row)
    return sorted(rows, key=lambda row: (-row.value, _order(row.kind)))


def continued(visitor: Visitor) -> list[Act]:
    """What the visitor has begun and not ended, the newest first: items whose newest act began them."""
    newest: dict[str, Act] = {}
    for act in sorted({*visitor.past, *visitor.session}, key=lambda each: each.at_ms):
        newest[act.item_id] = act
    begun = [act for act in newest.values() if act.kind in CONTINUED_KINDS]
    return sorted(begun, key=lambda act: (-act.at_ms, act.item_id))


def continuing_worth(act: Act, now_ms: int) -> float:
    """What it is worth to offer something that was begun: 1 at once, half after `CONTINUE_HALF_LIFE_MS`."""
    return float(0.5 ** (max(now_ms - act.at_ms, 0) / CONTINUE_HALF_LIFE_MS))


def reasons_to_go_on(visitor: Visitor, count: int) -> list[Act]:
    """The newest acts on `count` different items, each of which a row may go on from."""
    newest: dict[str, Act] = {}
    for act in reversed(visitor.basis):
        if act.kind in BECAUSE_KINDS:
            newest.setdefault(act.item_id, act)
    return list(newest.values())[:count]


def _is_enough(row: Row) -> bool:
    return len(row.items) >= ITEMS_MIN.get(row.kind, ITEMS_MIN_ELSE)


def _order(kind: RowKind) -> int:
    return list(RowKind).index(kind)
