"""The compiled inner loops of the co-visitation: rows of weighted neighbours, and what a query makes of them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from domain.recommenders.compiled import Floats, Ids, Offsets, Reals, compiled
from domain.recommenders.fusion_candidates import mark, unmark, write_shares
from domain.recommenders.heap import offer, sort_best_first

FORWARD, BACKWARD, NEXT = range(3)
"""The columns of an entry: seen after, seen before (both decayed), and seen as the very next (a plain count)."""

READINGS: Final = 7
LOGGED: Final = 3
COLUMNS: Final = 1 + 2 * READINGS + LOGGED
NOBODY: Final = -2
"""No item: what is left out of a query that is asked as it is."""


class Pairs(NamedTuple):
    """The rows of a model, how they are weighed, and a thread's working memory."""

    position_weights: Reals  # [query_items_max]
    row_offsets: Offsets  # [items + 1]
    neighbours: Ids  # [entries]
    weights: Floats  # [entries, 3]
    backward_weight: float
    row_factors: Reals  # [items]
    sums: Reals  # [items], zeros between calls
    touched: Ids  # [items]


@compiled
def fill_rows(
    first: int,
    last: int,
    occurrences: tuple[Offsets, Offsets],
    log: tuple[Ids, Ids, Offsets],
    interaction_weights: Reals,
    step_weights: Reals,
    backward_weight: float,
    accumulated: Reals,
    touched: Ids,
    best: tuple[Reals, Ids],
    rows: tuple[Offsets, Ids, Floats],
) -> int:
    """Write the rows of the items `first` to `last` and return how many entries they have.

    `occurrences` are the offsets by item and the places in the log; `log` the items, the session of each place and the
    offsets of sessions. `accumulated` [items, 3] is all zeros, before and after. No pair is ever written down: each
    row looks around the places of its item.
    """
    item_offsets, places = occurrences
    items, session_of, session_offsets = log
    row_offsets, neighbours, weights = rows
    steps = len(step_weights)
    written = 0
    for item in range(first, last):
        count = 0
        for at in range(item_offsets[item], item_offsets[item + 1]):
            place = places[at]
            session = session_of[place]
            for step in range(1, steps + 1):
                later = place + step
                if later < session_offsets[session + 1] and items[later] != item:
                    other = items[later]
                    if accumulated[other, FORWARD] == 0.0 and accumulated[other, BACKWARD] == 0.0:
                        touched[count] = other
                        count += 1
                    accumulated[other, FORWARD] += interaction_weights[later] * step_weights[step - 1]
                    if step == 1:
                        accumulated[other, NEXT] += 1.0
                earlier = place - step
                if earlier >= session_offsets[session] and items[earlier] != item:
                    other = items[earlier]
                    if accumulated[other, FORWARD] == 0.0 and accumulated[other, BACKWARD] == 0.0:
                        touched[count] = other
                        count += 1
                    accumulated[other, BACKWARD] += interaction_weights[place] * step_weights[step - 1]
        scores, ids = best
        size = 0
        for at in range(count):
            other = touched[at]
            score = accumulated[other, FORWARD] + backward_weight * accumulated[other, BACKWARD]
            size = offer(scores, ids, size, score, other)
        sort_best_first(scores, ids, size)
        for at in range(size):
            neighbours[written] = ids[at]
            for column in range(3):
                weights[written, column] = accumulated[ids[at], column]
            written += 1
        for at in range(count):
            for column in range(3):
                accumulated[touched[at], column] = 0.0
        row_offsets[item - first] = written
    return written


@compiled
def rank_items(query: Ids, pairs: Pairs, items: Ids, scores: Reals) -> int:
    """Fill `items` and `scores` best first and return how many there are; `query` ends with the newest item."""
    sums, touched, weights, neighbours = pairs.sums, pairs.touched, pairs.weights, pairs.neighbours
    backward_weight = pairs.backward_weight
    count = 0
    for position in range(min(len(query), len(pairs.position_weights))):
        item = query[len(query) - 1 - position]
        if item < 0 or item >= len(pairs.row_factors):
            continue
        factor = pairs.position_weights[position] * pairs.row_factors[item]
        for at in range(pairs.row_offsets[item], pairs.row_offsets[item + 1]):
            added = factor * (weights[at, FORWARD] + backward_weight * weights[at, BACKWARD])
            if added > 0.0:
                other = neighbours[at]
                if sums[other] == 0.0:
                    touched[count] = other
                    count += 1
                sums[other] += added
    size = 0
    for at in range(count):
        if size < len(items) or sums[touched[at]] >= scores[0]:
            size = offer(scores, items, size, sums[touched[at]], touched[at])
        sums[touched[at]] = 0.0
    sort_best_first(scores, items, size)
    return size


@compiled
def rank_queries(offsets: Offsets, queries: Ids, pairs: Pairs, items: Ids) -> None:
    """`rank_items` for each query of a batch; rows of `items` [queries, k] end in -1 where there are no more."""
    scores = np.empty(items.shape[1])
    for number in range(len(offsets) - 1):
        query = queries[offsets[number] : offsets[number + 1]]
        size = rank_items(query, pairs, items[number], scores)
        items[number, size:] = -1


@compiled
def describe_queries(offsets: Offsets, queries: Ids, pairs: Pairs, slot: Ids, candidates: Ids, rows: Floats) -> None:
    """Write the `COLUMNS` of each candidate [queries, n] into `rows` [queries, n, columns]; `slot` as `weigh_query`."""
    found = np.empty((candidates.shape[1], READINGS), np.float32)
    for number in range(len(offsets) - 1):
        mark(candidates[number], slot)
        weigh_query(queries[offsets[number] : offsets[number + 1]], NOBODY, pairs, slot, found)
        unmark(candidates[number], slot)
        write_columns(found, rows[number])


@compiled
def write_columns(found: Floats, rows: Floats) -> None:
    """The readings of candidates [n, READINGS] as the first `COLUMNS` of `rows` [n, columns].

    The score, each reading as a share of its mass and of its highest, and the logarithms of some.
    """
    write_shares(found, rows, 1)
    for at in range(len(found)):
        rows[at, 0] = found[at, 0]
        for logged in range(LOGGED):
            rows[at, 1 + 2 * READINGS + logged] = np.log1p(found[at, 1 + logged])


@compiled
def weigh_query(query: Ids, without: int, pairs: Pairs, slot: Ids, found: Floats) -> None:
    """Fill `found` [n, READINGS] with what the rows of a query without one item say of the candidates in the slots.

    The columns are the score, then forward, backward and next of the newest item, forward of the one before, next over
    all query items by position, and the highest single contribution.
    """
    found[:] = 0
    position = 0
    for from_end in range(len(query)):
        item = query[len(query) - 1 - from_end]
        if item == without:
            continue
        if position == len(pairs.position_weights):
            break
        if 0 <= item < len(pairs.row_factors):
            _weigh_row(item, position, pairs, slot, found)
        position += 1


@compiled
def _weigh_row(item: int, position: int, pairs: Pairs, slot: Ids, found: Floats) -> None:
    weights, neighbours, backward_weight = pairs.weights, pairs.neighbours, pairs.backward_weight
    of_position = pairs.position_weights[position]
    factor = pairs.position_weights[position] * pairs.row_factors[item]
    for at in range(pairs.row_offsets[item], pairs.row_offsets[item + 1]):
        place = slot[neighbours[at]]
        if place < 0:
            continue
        added = factor * (weights[at, FORWARD] + backward_weight * weights[at, BACKWARD])
        found[place, 0] += added
        if position == 0:
            found[place, 1] = weights[at, FORWARD]
            found[place, 2] = weights[at, BACKWARD]
            found[place, 3] = weights[at, NEXT]
        elif position == 1:
            found[place, 4] = weights[at, FORWARD]
        found[place, 5] += of_position * weights[at, NEXT]
        found[place, 6] = max(found[place, 6], added)


@compiled
def share_rows(query: Ids, pairs: Pairs, slot: Ids, shares: Reals) -> None:
    """Add to `shares` [marked items, positions from the end] what the row of each query item adds to each score."""
    weights, neighbours, backward_weight = pairs.weights, pairs.neighbours, pairs.backward_weight
    for position in range(min(len(query), len(pairs.position_weights))):
        item = query[len(query) - 1 - position]
        if item < 0 or item >= len(pairs.row_factors):
            continue
        factor = pairs.position_weights[position] * pairs.row_factors[item]
        for at in range(pairs.row_offsets[item], pairs.row_offsets[item + 1]):
            place = slot[neighbours[at]]
            if place >= 0:
                added = weights[at, FORWARD] + backward_weight * weights[at, BACKWARD]
                shares[place, position] += factor * added
