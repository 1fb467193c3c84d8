"""What the visitor's own clicks say of candidates, for a batch of queries: strike them, list them, place them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from domain.recommenders.session_knn_kernel import Ids, Offsets, compiled, offer, sort_best_first


@compiled
def strike_seen(lists: Ids, offsets: Offsets, items: Ids, items_count: int) -> None:
    """Set to -1 in each row of `lists` [queries, n] what the query itself holds."""
    seen = np.full(items_count, -1, np.int32)
    for number in range(len(offsets) - 1):
        for place in range(offsets[number], offsets[number + 1]):
            seen[items[place]] = number
        for at in range(lists.shape[1]):
            if lists[number, at] >= 0 and seen[lists[number, at]] == number:
                lists[number, at] = -1


@compiled
def left_aligned(lists: Ids, kept: int) -> Ids:
    """The first `kept` entries of each row that are not -1, in their order; filled up with -1."""
    aligned = np.full((len(lists), kept), -1, np.int32)
    for number in range(len(lists)):
        size = 0
        for at in range(lists.shape[1]):
            if size < kept and lists[number, at] >= 0:
                aligned[number, size] = lists[number, at]
                size += 1
    return aligned


@compiled
def own_items(offsets: Offsets, items: Ids, items_count: int, newest: int, frequent: int) -> Ids:
    """Of each query its `newest` distinct items, newest first, and its `frequent` ones that occur more than once."""
    lists = np.full((len(offsets) - 1, newest + frequent), -1, np.int32)
    counts = np.zeros(items_count, np.int32)
    scores = np.empty(frequent)
    for number in range(len(offsets) - 1):
        size = 0
        for place in range(offsets[number + 1] - 1, offsets[number] - 1, -1):
            if counts[items[place]] == 0 and size < newest:
                lists[number, size] = items[place]
                size += 1
            counts[items[place]] += 1
        size = 0
        best = lists[number, newest:]
        for place in range(offsets[number], offsets[number + 1]):
            item = items[place]
            if counts[item] > 1:
                size = offer(scores, best, size, float(counts[item]), item)
            counts[item] = 0
        sort_best_first(scores, best, size)
    return lists


@compiled
def place_candidates(
    offsets: Offsets, items: Ids, candidates: Ids, items_count: int, absent: float
) -> npt.NDArray[np.float32]:
    """Where and how often each query holds its candidates: [queries, candidates, 3].

    The position of the newest occurrence from the end (`absent` without one), the count, and the position of the one
    before the newest.
    """
    found = np.zeros((*candidates.shape, 3), np.float32)
    slot = np.full(items_count, -1, np.int32)
    for number in range(len(offsets) - 1):
        for at in range(candidates.shape[1]):
            found[number, at, 0] = absent
            found[number, at, 2] = absent
            if candidates[number, at] >= 0:
                slot[candidates[number, at]] = at
        for position in range(offsets[number + 1] - offsets[number]):
            at = slot[items[offsets[number + 1] - 1 - position]]
            if at < 0:
                continue
            if found[number, at, 1] == 0:
                found[number, at, 0] = position
            elif found[number, at, 1] == 1:
                found[number, at, 2] = position
            found[number, at, 1] += 1
        for at in range(candidates.shape[1]):
            if candidates[number, at] >= 0:
                slot[candidates[number, at]] = -1
    return found
