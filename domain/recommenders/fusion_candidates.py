"""What the visitor's own clicks say of candidates, for a batch of queries: strike them, list them, place them."""

from __future__ import annotations

import numpy as np

from domain.recommenders.compiled import Floats, Ids, Offsets, compiled
from domain.recommenders.heap import offer, sort_best_first


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
def mark(candidates: Ids, slot: Ids) -> None:
    """Note in `slot` [items], which is all -1, where each candidate stands; an entry of -1 stands nowhere."""
    for at in range(len(candidates)):
        if candidates[at] >= 0:
            slot[candidates[at]] = at


@compiled
def unmark(candidates: Ids, slot: Ids) -> None:
    """Undo `mark`."""
    for at in range(len(candidates)):
        if candidates[at] >= 0:
            slot[candidates[at]] = -1


@compiled
def own_items(offsets: Offsets, items: Ids, items_count: int, newest: int, frequent: int) -> Ids:
    """Of each query its `newest` distinct items, newest first, and its `frequent` ones that occur more than once."""
    lists = np.empty((len(offsets) - 1, newest + frequent), np.int32)
    counts = np.zeros(items_count, np.int32)
    for number in range(len(offsets) - 1):
        list_own(items[offsets[number] : offsets[number + 1]], counts, newest, lists[number])
    return lists


@compiled
def list_own(query: Ids, counts: Ids, newest: int, own: Ids) -> None:
    """`own_items` of one query; `counts` [items] is all 0, before and after."""
    own[:] = -1
    scores = np.empty(len(own) - newest)
    size = 0
    for place in range(len(query) - 1, -1, -1):
        if counts[query[place]] == 0 and size < newest:
            own[size] = query[place]
            size += 1
        counts[query[place]] += 1
    size = 0
    for item in query:
        if counts[item] > 1:
            size = offer(scores, own[newest:], size, float(counts[item]), item)
        counts[item] = 0
    sort_best_first(scores, own[newest:], size)


@compiled
def place_query(query: Ids, without: int, slot: Ids, absent: float, found: Floats) -> None:
    """Fill the first three columns of `found` [n, columns] for the candidates marked in the slots.

    The position of the newest occurrence from the end (`absent` without one), the count, and the position of the one
    before the newest; in the query without one item (-2: with all).
    """
    for at in range(len(found)):
        found[at, 0] = absent
        found[at, 1] = 0
        found[at, 2] = absent
    position = 0
    for from_end in range(len(query)):
        item = query[len(query) - 1 - from_end]
        if item == without:
            continue
        at = slot[item]
        if at >= 0:
            if found[at, 1] == 0:
                found[at, 0] = position
            elif found[at, 1] == 1:
                found[at, 2] = position
            found[at, 1] += 1
        position += 1


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
    united = np.full((len(current), max(union_size(blocks, everywhere), 1)), -1, np.int32)
    taken = np.full(items_count, -1, np.int64)
    widest = 1
    for number in range(len(current)):
        query = (items[offsets[number] : offsets[number + 1]], current[number], 2 * number)
        size = unite_query(query, barred, lists[number], blocks, everywhere, taken, united[number])
        widest = max(widest, size)
    return united[:, :widest].copy()


@compiled
def union_size(blocks: Offsets, everywhere: tuple[Ids, int]) -> int:
    """How many candidates there are at most."""
    width: int = everywhere[0].shape[0] * everywhere[1]
    for block in range(len(blocks)):
        width += blocks[block, 2]
    return width


@compiled
def unite_query(
    query: tuple[Ids, int, int],
    barred: tuple[bool, bool],
    lists: Ids,
    blocks: Offsets,
    everywhere: tuple[Ids, int],
    taken: Offsets,
    united: Ids,
) -> int:
    """`unite` of one query: its items, the current item and a number that no query before had, two apart.

    In `taken` [items] that number says that an item is struck, the next one that it is taken.
    """
    items, current, struck = query
    rows, kept_of_row = everywhere
    if barred[1]:
        for item in items:
            taken[item] = struck
    if (barred[0] or barred[1]) and current >= 0:
        taken[current] = struck
    size = 0
    for block in range(len(blocks)):
        some = lists[blocks[block, 0] : blocks[block, 1]]
        size = _take(some, blocks[block, 2], struck, taken, united, size)
    for row in range(rows.shape[0]):
        size = _take(rows[row], kept_of_row, struck, taken, united, size)
    united[:size] = np.sort(united[:size])
    return size


@compiled
def _take(items: Ids, kept_max: int, struck: int, slot: Offsets, taken: Ids, size: int) -> int:
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
def write_shares(values: Floats, rows: Floats, first: int) -> None:
    """Write each reading of `values` [n, readings] into `rows` [n, columns], from a column on.

    As two columns: its share of the sum over the candidates, and of their highest; 0 where all are 0.
    """
    for reading in range(values.shape[1]):
        mass = 0.0
        highest = 1e-12
        for at in range(values.shape[0]):
            mass += values[at, reading]
            highest = max(highest, values[at, reading])
        mass = max(mass, 1e-12)
        for at in range(values.shape[0]):
            rows[at, first + 2 * reading] = values[at, reading] / mass
            rows[at, first + 2 * reading + 1] = values[at, reading] / highest


@compiled
def write_ranks(candidates: Ids, rows: Floats, score: int, rank: int) -> None:
    """Write into the column `rank` of `rows` [queries, n, columns] the place of each candidate by the column `score`.

    0 is the highest; of equal scores the earlier candidate is first; entries of -1 come last.
    """
    for number in range(len(candidates)):
        write_ranks_of(candidates[number], rows[number], score, rank)


@compiled
def write_ranks_of(candidates: Ids, rows: Floats, score: int, rank: int) -> None:
    """`write_ranks` of one query. For so few candidates to count the higher ones is quicker than to sort."""
    count = len(candidates)
    scores = np.empty(count, np.float32)
    for at in range(count):
        scores[at] = rows[at, score] if candidates[at] >= 0 else -np.inf
    for at in range(count):
        ahead = 0
        for other in range(at):
            ahead += scores[other] >= scores[at]
        for other in range(at + 1, count):
            ahead += scores[other] > scores[at]
        rows[at, rank] = ahead
