"""The compiled inner loops of the session-kNN; `session_knn.py` has the equations and the reasons.

All arrays are passed in: a call allocates nothing, holds no interpreter lock, and leaves `Scratch` as it found it.
Arithmetic is float64 without fast-math and in a fixed order, so that a plain Python reference gives equal bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])
Ids = npt.NDArray[np.int32]
Offsets = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

Bits = npt.NDArray[np.uint64]

UNSEEN = -1


class Postings(NamedTuple):
    """Sessions are numbered by recency: 0 is the newest, so a lower id always wins a tie."""

    item_offsets: Offsets  # [items + 1]
    item_sessions: Ids  # the newest sessions of each item, newest first
    session_offsets: Offsets  # [sessions + 1]
    session_items: Ids  # the items of each session, oldest first


class Weights(NamedTuple):
    """The policy's decays as tables, so that the loops only look up and multiply."""

    query: Reals  # [query_items_max], by position from the end of the query
    last_match: Reals  # [query_items_max], by position from the end of the query
    span: Reals  # [2 * session_items_max - 1], by distance from the match; the middle is distance 0
    session: Reals  # [sessions], recency and length
    item_similarity: Reals  # [items]
    item_score: Reals  # [items]


class Scratch(NamedTuple):
    """Working memory of one thread. Between calls `last_match` and `slot` are all UNSEEN and `item_scores` all 0."""

    similarity: Reals  # [sessions]
    last_match: Ids  # [sessions], position of the newest query item found in the session
    matches: Bits  # [sessions], bit p: found by the query item at position p
    candidates: Ids  # [min(sessions, query_items_max * sessions_per_item_max)]
    heap_scores: Reals  # [neighbours_max]
    heap_ids: Ids  # [neighbours_max]
    item_scores: Reals  # [items]
    touched: Ids  # [items]
    slot: Ids  # [items], where an explained item stands in the list of explained items


def compiled(function: Function) -> Function:
    """Compile with numba, cached on disk; without a writable cache folder, compile anew in each process."""
    try:
        return cast(Function, njit(nogil=True, cache=True)(function))
    except RuntimeError:  # numba found no place for its cache (read-only install and home)
        return cast(Function, njit(nogil=True)(function))


@compiled
def _is_worse(score: float, id_: int, other_score: float, other_id: int) -> bool:
    return score < other_score or (score == other_score and id_ > other_id)


@compiled
def _sink(scores: Reals, ids: Ids, size: int, score: float, id_: int) -> None:
    """Replace the root of a heap whose root is its worst entry."""
    hole = 0
    child = 1
    while child < size:
        right = child + 1
        if right < size and _is_worse(scores[right], ids[right], scores[child], ids[child]):
            child = right
        if not _is_worse(scores[child], ids[child], score, id_):
            break
        scores[hole] = scores[child]
        ids[hole] = ids[child]
        hole = child
        child = 2 * hole + 1
    scores[hole] = score
    ids[hole] = id_


@compiled
def offer(scores: Reals, ids: Ids, size: int, score: float, id_: int) -> int:
    """Keep the best `len(scores)` entries in a heap, the worst at its root; returns the new size."""
    if size == len(scores):
        if size > 0 and _is_worse(scores[0], ids[0], score, id_):
            _sink(scores, ids, size, score, id_)
        return size
    hole = size
    while hole > 0:
        parent = (hole - 1) >> 1
        if not _is_worse(score, id_, scores[parent], ids[parent]):
            break
        scores[hole] = scores[parent]
        ids[hole] = ids[parent]
        hole = parent
    scores[hole] = score
    ids[hole] = id_
    return size + 1


@compiled
def sort_best_first(scores: Reals, ids: Ids, size: int) -> None:
    """Heap sort: the worst moves to the end, again and again."""
    for end in range(size - 1, 0, -1):
        score = scores[end]
        id_ = ids[end]
        scores[end] = scores[0]
        ids[end] = ids[0]
        _sink(scores, ids, end, score, id_)


@compiled
def find_candidates(query: Ids, postings: Postings, weights: Weights, scratch: Scratch) -> int:
    """Similarity of every session that shares an item with the query; a repeated item counts at its newest place."""
    found = 0
    length = len(query)
    for position in range(length):
        item = query[length - 1 - position]
        if item < 0 or item >= len(weights.item_score):
            continue
        repeated = False
        for newer in range(position):
            if query[length - 1 - newer] == item:
                repeated = True
        if repeated:
            continue
        weight = weights.query[position] * weights.item_similarity[item]
        for at in range(postings.item_offsets[item], postings.item_offsets[item + 1]):
            session = postings.item_sessions[at]
            if scratch.last_match[session] == UNSEEN:
                scratch.last_match[session] = position
                scratch.similarity[session] = 0.0
                scratch.matches[session] = np.uint64(0)
                scratch.candidates[found] = session
                found += 1
            scratch.similarity[session] += weight
            scratch.matches[session] |= np.uint64(1) << np.uint64(position)
    return found


@compiled
def keep_neighbours(found: int, weights: Weights, scratch: Scratch) -> int:
    """Weigh the candidates and keep the best `neighbours_max` of them, in the order in which they were found."""
    for at in range(found):
        session = scratch.candidates[at]
        scratch.similarity[session] *= weights.session[session]
    if found <= len(scratch.heap_ids):
        return found
    size = 0
    for at in range(found):
        session = scratch.candidates[at]
        size = offer(scratch.heap_scores, scratch.heap_ids, size, scratch.similarity[session], session)
    worst_score = scratch.heap_scores[0]
    worst_id = scratch.heap_ids[0]
    kept = 0
    for at in range(found):
        session = scratch.candidates[at]
        if _is_worse(scratch.similarity[session], session, worst_score, worst_id):
            scratch.last_match[session] = UNSEEN
        else:
            scratch.candidates[kept] = session
            kept += 1
    return kept


@compiled
def place_of_match(item: int, start: int, end: int, session_items: Ids) -> int:
    """The last place of `item` in a session that holds it."""
    place = end - 1
    while place > start and session_items[place] != item:
        place -= 1
    return place


@compiled
def _score_items(query: Ids, neighbours: int, postings: Postings, weights: Weights, scratch: Scratch) -> int:
    """Let each neighbour vote for its items, by their distance from the match; returns how many items were touched."""
    touched = 0
    middle = len(weights.span) >> 1
    for at in range(neighbours):
        session = scratch.candidates[at]
        position = scratch.last_match[session]
        scratch.last_match[session] = UNSEEN
        start = postings.session_offsets[session]
        end = postings.session_offsets[session + 1]
        match = place_of_match(query[len(query) - 1 - position], start, end, postings.session_items)
        vote = scratch.similarity[session] * weights.last_match[position]
        for place in range(start, end):
            voted = vote * weights.span[middle + place - match]
            if voted > 0.0:
                candidate = postings.session_items[place]
                if scratch.item_scores[candidate] == 0.0:
                    scratch.touched[touched] = candidate
                    touched += 1
                scratch.item_scores[candidate] += voted
    return touched


@compiled
def _credit(query: Ids, bits: np.uint64, voted: float, weights: Weights, shares: Reals) -> None:
    """Share out one vote among the query items that found the voter, by their weights in its similarity."""
    total = 0.0
    for position in range(len(query)):
        if (bits >> np.uint64(position)) & np.uint64(1):
            item = query[len(query) - 1 - position]
            total += weights.query[position] * weights.item_similarity[item]
    for position in range(len(query)):
        if (bits >> np.uint64(position)) & np.uint64(1):
            item = query[len(query) - 1 - position]
            shares[position] += voted * weights.query[position] * weights.item_similarity[item] / total


@compiled
def _vote(query: Ids, postings: Postings, weights: Weights, scratch: Scratch) -> int:
    found = find_candidates(query, postings, weights, scratch)
    neighbours = keep_neighbours(found, weights, scratch)
    return _score_items(query, neighbours, postings, weights, scratch)


@compiled
def rank_items(query: Ids, postings: Postings, weights: Weights, scratch: Scratch, items: Ids, scores: Reals) -> int:
    """Fill `items` and `scores` best first and return how many there are; only scores above zero as float32 count."""
    touched = _vote(query, postings, weights, scratch)
    size = 0
    for at in range(touched):
        item = scratch.touched[at]
        score = np.float32(scratch.item_scores[item] * weights.item_score[item])
        scratch.item_scores[item] = 0.0
        if score > 0:
            size = offer(scores, items, size, np.float64(score), item)
    sort_best_first(scores, items, size)
    return size


@compiled
def score_wanted(
    query: Ids, postings: Postings, weights: Weights, scratch: Scratch, wanted: Ids, scores: Reals
) -> None:
    """Fill `scores` for the `wanted` items; an item that no neighbour holds, or outside the vocabulary, scores 0."""
    touched = _vote(query, postings, weights, scratch)
    for at in range(len(wanted)):
        item = wanted[at]
        scores[at] = 0.0
        if item >= 0 and item < len(weights.item_score):
            scores[at] = np.float32(scratch.item_scores[item] * weights.item_score[item])
    for at in range(touched):
        scratch.item_scores[scratch.touched[at]] = 0.0


@compiled
def share_out(query: Ids, postings: Postings, weights: Weights, scratch: Scratch, wanted: Ids, shares: Reals) -> None:
    """Add to `shares` [wanted, positions from the end of the query] what each query item contributed to each score.

    `wanted` holds distinct items of the vocabulary. A row sums to the score before its weight by idf.
    """
    for at in range(len(wanted)):
        scratch.slot[wanted[at]] = at
    found = find_candidates(query, postings, weights, scratch)
    neighbours = keep_neighbours(found, weights, scratch)
    middle = len(weights.span) >> 1
    for at in range(neighbours):
        session = scratch.candidates[at]
        position = scratch.last_match[session]
        scratch.last_match[session] = UNSEEN
        start = postings.session_offsets[session]
        end = postings.session_offsets[session + 1]
        match = place_of_match(query[len(query) - 1 - position], start, end, postings.session_items)
        vote = scratch.similarity[session] * weights.last_match[position]
        for place in range(start, end):
            slot = scratch.slot[postings.session_items[place]]
            if slot != UNSEEN:
                voted = vote * weights.span[middle + place - match]
                _credit(query, scratch.matches[session], voted, weights, shares[slot])
    for at in range(len(wanted)):
        scratch.slot[wanted[at]] = UNSEEN
