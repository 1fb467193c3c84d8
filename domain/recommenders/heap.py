"""The best few of many scores: a heap in two arrays, its worst entry at the root; the lower id wins a tie."""

from __future__ import annotations

from domain.recommenders.compiled import Ids, Reals, compiled


@compiled
def is_worse(score: float, id_: int, other_score: float, other_id: int) -> bool:
    return score < other_score or (score == other_score and id_ > other_id)


@compiled
def _sink(scores: Reals, ids: Ids, size: int, score: float, id_: int) -> None:
    """Replace the root of a heap whose root is its worst entry."""
    hole = 0
    child = 1
    while child < size:
        right = child + 1
        if right < size and is_worse(scores[right], ids[right], scores[child], ids[child]):
            child = right
        if not is_worse(scores[child], ids[child], score, id_):
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
        if size > 0 and is_worse(scores[0], ids[0], score, id_):
            _sink(scores, ids, size, score, id_)
        return size
    hole = size
    while hole > 0:
        parent = (hole - 1) >> 1
        if not is_worse(score, id_, scores[parent], ids[parent]):
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
