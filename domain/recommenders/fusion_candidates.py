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


@compiled
def unite(
    queries: tuple[Offsets, Ids, Ids],
    barred: tuple[bool, bool],
    items_count: int,
    lists: Ids,
    blocks: Offsets,
    everywhere: tuple[Ids, int],
) -> Ids:
    """The union of each query's lists without what is struck, in the order of ids: [queries, widest], -1 behind.

    `queries` are offsets, items and the current item; `barred` says whether the current item and all items are struck.
    Of `lists` [queries, n] the columns of a block [blocks, 3] (first, end, kept) give at most `kept` items that are not
    struck; so does each row of `everywhere`, which is the same for all queries.
    """
    offsets, items, current = queries
    rows, kept_of_row = everywhere
    width = rows.shape[0] * kept_of_row
    for block in range(len(blocks)):
        width += blocks[block, 2]
    united = np.full((len(current), max(width, 1)), -1, np.int32)
    slot = np.full(items_count, -1, np.int64)  # twice the number of the query: struck; one more: taken
    widest = 1
    for number in range(len(current)):
        struck = 2 * number
        if barred[1]:
            for place in range(offsets[number], offsets[number + 1]):
                slot[items[place]] = struck
        if (barred[0] or barred[1]) and current[number] >= 0:
            slot[current[number]] = struck
        size = 0
        for block in range(len(blocks)):
            some = lists[number, blocks[block, 0] : blocks[block, 1]]
            size = _take(some, blocks[block, 2], struck, slot, united[number], size)
        for row in range(rows.shape[0]):
            size = _take(rows[row], kept_of_row, struck, slot, united[number], size)
        united[number, :size] = np.sort(united[number, :size])
        widest = max(widest, size)
    return united[:, :widest].copy()


@compiled
def _take(items: Ids, kept_max: int, struck: int, slot: npt.NDArray[np.int64], taken: Ids, size: int) -> int:
    kept = 0
    for item in items:
        if kept == kept_max:
            break
        if item < 0 or slot[item] == struck:
            continue
        kept += 1
        if slot[item] != struck + 1:
            slot[item] = struck + 1
            taken[size] = item
            size += 1
    return size


@compiled
def write_shares(values: npt.NDArray[np.float32], rows: npt.NDArray[np.float32], first: int) -> None:
    """Write each reading of `values` [queries, n, readings] into `rows` [queries, n, columns], from a column on.

    As two columns: its share of the sum over the query's candidates, and of their highest; 0 where all are 0.
    """
    for number in range(values.shape[0]):
        for reading in range(values.shape[2]):
            mass = 0.0
            highest = 1e-12
            for at in range(values.shape[1]):
                mass += values[number, at, reading]
                highest = max(highest, values[number, at, reading])
            mass = max(mass, 1e-12)
            for at in range(values.shape[1]):
                rows[number, at, first + 2 * reading] = values[number, at, reading] / mass
                rows[number, at, first + 2 * reading + 1] = values[number, at, reading] / highest


@compiled
def write_ranks(candidates: Ids, rows: npt.NDArray[np.float32], score: int, rank: int) -> None:
    """Write into the column `rank` of `rows` the place of each candidate by the column `score`, 0 for the highest.

    Of equal scores the earlier candidate is first; entries of -1 come last.
    """
    for number in range(len(candidates)):
        falling = np.empty(candidates.shape[1])
        for at in range(candidates.shape[1]):
            falling[at] = -rows[number, at, score] if candidates[number, at] >= 0 else np.inf
        order = np.argsort(falling, kind="mergesort")
        for place in range(len(order)):
            rows[number, order[place], rank] = place
