"""What is known of a candidate from its item's facts and from the visitor's own items."""

from __future__ import annotations

from typing import Final

import numpy as np

from domain.recommenders.compiled import Floats, Ids, Offsets, compiled
from domain.recommenders.fusion_candidates import mark, place_query, unmark
from domain.recommenders.lineup.item_facts import FACTS

FROM_OWN: Final = (15, 25)
"""The newest of the visitor's own items that are candidates, and the most frequent ones."""
ABSENT: Final = 250.0
OF_VISITOR: Final = (
    "own_place", "own_count", "own_place_before", "own_share", "query_length", "query_variety", "query_newest_seen",
    "query_newest_last",
)  # fmt: skip
_OF_ITEM: Final = len(FACTS)
_SEEN: Final = FACTS.index("seen")
_LAST: Final = FACTS.index("last")
_NEWEST: Final = FROM_OWN[0]


@compiled
def describe_visitors(queries: tuple[Offsets, Ids, Ids], by_item: Floats, candidates: Ids, rows: Floats) -> None:
    """`describe_visitor` for each query [queries], of offsets, items and the current item."""
    offsets, items, current = queries
    slot = np.full(len(by_item), -1, np.int32)
    for number in range(len(current)):
        query = items[offsets[number] : offsets[number + 1]]
        mark(candidates[number], slot)
        describe_visitor(query, -2, current[number], by_item, slot, candidates[number], rows[number])
        unmark(candidates[number], slot)


@compiled
def describe_visitor(
    query: Ids, without: int, current: int, by_item: Floats, slot: Ids, candidates: Ids, rows: Floats
) -> None:
    """Write `FACTS` and then `OF_VISITOR` of the marked candidates [n] into `rows` [n, both].

    Of the query without one item (-2: with all); where its candidates stand among the visitor's own items, and what
    these are like. Of an entry of -1 anything.
    """
    length = 0
    for item in query:
        length += item != without
    place_query(query, without, slot, ABSENT, rows[:, _OF_ITEM:])
    own = 0
    for at in range(len(candidates)):
        own += rows[at, _OF_ITEM + 1] > 0
    variety = np.float32(own / min(max(length, 1), _NEWEST))
    newest = max(current, 0)
    for at in range(len(candidates)):
        rows[at, :_OF_ITEM] = by_item[max(candidates[at], 0)]
        rows[at, _OF_ITEM + 3] = rows[at, _OF_ITEM + 1] / np.float32(max(length, 1))
        rows[at, _OF_ITEM + 4] = length
        rows[at, _OF_ITEM + 5] = variety
        rows[at, _OF_ITEM + 6] = by_item[newest, _SEEN]
        rows[at, _OF_ITEM + 7] = by_item[newest, _LAST]
