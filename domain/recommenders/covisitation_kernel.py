"""The compiled inner loops of the co-visitation: rows of weighted neighbours, and what a query makes of them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from domain.recommenders.session_knn_kernel import Ids, Offsets, Reals, compiled, offer, sort_best_first

Weights32 = npt.NDArray[np.float32]

FORWARD, BACKWARD, NEXT = range(3)
"""The columns of an entry: seen after, seen before (both decayed), and seen as the very next (a plain count)."""


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
    rows: tuple[Offsets, Ids, Weights32],
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
def rank_items(
    query: Ids,
    position_weights: Reals,
    rows: tuple[Offsets, Ids, Weights32],
    blend: tuple[float, Reals],
    scratch: tuple[Reals, Ids],
    items: Ids,
    scores: Reals,
) -> int:
    """Fill `items` and `scores` best first and return how many there are; `query` ends with the newest item.

    `blend` is the weight of the backward column and the factor of each row. `scratch` [items] is zeros and anything.
    """
    row_offsets, neighbours, weights = rows
    backward_weight, row_factors = blend
    sums, touched = scratch
    count = 0
    for position in range(min(len(query), len(position_weights))):
        item = query[len(query) - 1 - position]
        if item < 0 or item >= len(row_factors):
            continue
        factor = position_weights[position] * row_factors[item]
        for at in range(row_offsets[item], row_offsets[item + 1]):
            added = factor * (weights[at, FORWARD] + backward_weight * weights[at, BACKWARD])
            if added > 0.0:
                if sums[neighbours[at]] == 0.0:
                    touched[count] = neighbours[at]
                    count += 1
                sums[neighbours[at]] += added
    size = 0
    for at in range(count):
        size = offer(scores, items, size, sums[touched[at]], touched[at])
        sums[touched[at]] = 0.0
    sort_best_first(scores, items, size)
    return size


@compiled
def rank_queries(
    offsets: Offsets,
    queries: Ids,
    position_weights: Reals,
    rows: tuple[Offsets, Ids, Weights32],
    blend: tuple[float, Reals],
    scratch: tuple[Reals, Ids],
    items: Ids,
    scores: Reals,
) -> None:
    """`rank_items` for each query of a batch; rows of `items` [queries, k] end in -1 where there are no more."""
    for number in range(len(offsets) - 1):
        query = queries[offsets[number] : offsets[number + 1]]
        size = rank_items(query, position_weights, rows, blend, scratch, items[number], scores[number])
        items[number, size:] = -1
        scores[number, size:] = 0.0


@compiled
def weigh_candidates(
    offsets: Offsets,
    queries: Ids,
    position_weights: Reals,
    rows: tuple[Offsets, Ids, Weights32],
    blend: tuple[float, Reals],
    slot: Ids,
    candidates: Ids,
    found: Weights32,
) -> None:
    """Add to `found` [queries, candidates, 7] what the rows of each query say of its candidates.

    The columns are the score, then forward, backward and next of the newest item, forward of the one before, next over
    all query items by position, and the highest single contribution. `slot` [items] is all -1, before and after.
    """
    row_offsets, neighbours, weights = rows
    backward_weight, row_factors = blend
    for number in range(len(offsets) - 1):
        for at in range(candidates.shape[1]):
            if candidates[number, at] >= 0:
                slot[candidates[number, at]] = at
        for position in range(min(offsets[number + 1] - offsets[number], len(position_weights))):
            item = queries[offsets[number + 1] - 1 - position]
            if item < 0 or item >= len(row_factors):
                continue
            factor = position_weights[position] * row_factors[item]
            for at in range(row_offsets[item], row_offsets[item + 1]):
                place = slot[neighbours[at]]
                if place < 0:
                    continue
                added = factor * (weights[at, FORWARD] + backward_weight * weights[at, BACKWARD])
                found[number, place, 0] += added
                if position == 0:
                    found[number, place, 1] = weights[at, FORWARD]
                    found[number, place, 2] = weights[at, BACKWARD]
                    found[number, place, 3] = weights[at, NEXT]
                elif position == 1:
                    found[number, place, 4] = weights[at, FORWARD]
                found[number, place, 5] += position_weights[position] * weights[at, NEXT]
                found[number, place, 6] = max(found[number, place, 6], added)
        for at in range(candidates.shape[1]):
            if candidates[number, at] >= 0:
                slot[candidates[number, at]] = -1
