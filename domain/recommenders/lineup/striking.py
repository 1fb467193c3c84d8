"""What may not stand in an answer: nothing, the current item, or all that the visitor had."""

from __future__ import annotations

from typing import Final, Literal

from domain.recommenders.fusion_candidates import left_aligned, strike_seen
from domain.recommenders.lineup.queries import Ids, Queries

Struck = Literal["nothing", "current", "seen"]

PREFIX_MAX: Final = 200
"""Of a longer history only its newest items are asked about, as the files of questions have it."""


def strike(lists: Ids, queries: Queries, struck: Struck, items_count: int) -> Ids:
    """A copy of [queries, n] with -1 for what is struck."""
    kept = lists.copy()
    if struck == "current":
        kept[lists == queries.current[:, None]] = -1
    elif struck == "seen":
        strike_seen(kept, queries.offsets, queries.items, items_count)
        kept[lists == queries.current[:, None]] = -1
    return kept


def first_kept(lists: Ids, queries: Queries, struck: Struck, items_count: int, k: int) -> Ids:
    """The first `k` of each list that are not struck, filled up with -1."""
    return left_aligned(strike(lists, queries, struck, items_count), k)


def surplus(struck: Struck) -> int:
    """How many more items to ask a source for, so that enough are left."""
    return {"nothing": 0, "current": 1, "seen": PREFIX_MAX}[struck]
