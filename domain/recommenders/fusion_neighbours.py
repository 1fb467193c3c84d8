"""Session-kNN over a batch of queries: their best items, and several readings of one set of neighbours.

The search for neighbours is what costs; once they are found, a candidate is judged by more than their votes: by the
most similar ones alone, by what came right after the match, by how many hold it. A ranker learns which to believe.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from domain.recommenders import session_knn_kernel as kernel
from domain.recommenders.session_knn import DAY_MS, SessionKnn
from domain.recommenders.session_knn_kernel import Ids, Offsets, Reals, compiled

Features = npt.NDArray[np.float32]

CLOSEST: Final = 30
"""How many of the most similar neighbours count for `closest`."""

BY_CANDIDATE: Final = ("score", "closest", "next", "after", "holders", "newest_match", "highest", "fresh")
"""The VSTAN score; of the closest neighbours; only what came right after the match; only what came after it, whatever
the distance; the neighbours that hold the candidate by similarity; only those matched by the newest query item; the
highest vote; and the score with an age that weighs eight times more."""

BY_QUERY: Final = ("found", "neighbours", "best_similarity", "similarity_mass")
"""How many sessions share an item, how many were kept, the highest and the summed similarity."""


def rank_all(
    knn: SessionKnn, offsets: npt.NDArray[np.int64], items: npt.NDArray[np.int32], k: int
) -> npt.NDArray[np.int32]:
    """The best items of each query [queries, k], -1 where there are no more; holds no interpreter lock."""
    best = np.full((len(offsets) - 1, min(k, knn.index.items_count)), -1, np.int32)
    if best.size:
        query_max = knn.policy.query_items_max
        _rank_queries(offsets, items, query_max, knn.postings, knn.weights, knn.scratch(), best)
    return best


def freshness(knn: SessionKnn) -> Reals:
    """[sessions], what an age weighs beside the policy's own decay, for `read_neighbours`."""
    ages_days = (knn.index.ended_at_ms[:1].max(initial=0) - knn.index.ended_at_ms) / DAY_MS
    fresh: Reals = np.exp(-7 * ages_days / knn.policy.recency_decay_days)
    return fresh


def read_neighbours(
    knn: SessionKnn, fresh: Reals, offsets: Offsets, items: Ids, candidates: Ids
) -> tuple[Features, Features]:
    """What the neighbours say of `candidates` [queries, n] (distinct, or -1): [queries, n, 8] and [queries, 4].

    The last axes are `BY_CANDIDATE` and `BY_QUERY`.
    """
    found = np.zeros((*candidates.shape, len(BY_CANDIDATE)), np.float32)
    of_query = np.zeros((len(candidates), len(BY_QUERY)), np.float32)
    closest = (np.empty(CLOSEST), np.empty(CLOSEST, np.int32))
    parts = (knn.postings, knn.weights, knn.scratch())
    _read_queries(offsets, items, knn.policy.query_items_max, parts, fresh, closest, candidates, found, of_query)
    return found, of_query


@compiled
def _rank_queries(
    offsets: Offsets,
    items: Ids,
    query_max: int,
    postings: kernel.Postings,
    weights: kernel.Weights,
    scratch: kernel.Scratch,
    best: Ids,
) -> None:
    scores = np.empty(best.shape[1])
    for number in range(len(offsets) - 1):
        query = items[max(offsets[number], offsets[number + 1] - query_max) : offsets[number + 1]]
        size = kernel.rank_items(query, postings, weights, scratch, best[number], scores)
        best[number, size:] = -1


@compiled
def _closest_floor(kept: int, scratch: kernel.Scratch, closest: tuple[Reals, Ids]) -> tuple[float, float, float]:
    """The lowest similarity among the closest neighbours, the highest and the sum of all."""
    scores, ids = closest
    size = 0
    highest = 0.0
    mass = 0.0
    for at in range(kept):
        session = scratch.candidates[at]
        similarity = scratch.similarity[session]
        highest = max(highest, similarity)
        mass += similarity
        size = kernel.offer(scores, ids, size, similarity, session)
    return (scores[0] if size else 0.0), highest, mass


@compiled
def _read_session(
    session: int,
    match: int,
    vote: float,
    floors: tuple[float, float, bool],
    postings: kernel.Postings,
    weights: kernel.Weights,
    slot: Ids,
    found: Features,
) -> None:
    """Let one neighbour vote; `floors` are the floor of the closest, the freshness, and whether the newest matched."""
    floor, fresh, is_newest = floors
    middle = len(weights.span) >> 1
    similarity_is_high = floor <= 0.0
    for place in range(postings.session_offsets[session], postings.session_offsets[session + 1]):
        item = postings.session_items[place]
        at = slot[item]
        if at < 0:
            continue
        voted = vote * weights.span[middle + place - match] * weights.item_score[item]
        found[at, 0] += voted
        if similarity_is_high:
            found[at, 1] += voted
        if place == match + 1:
            found[at, 2] += vote
        if place > match:
            found[at, 3] += vote
        found[at, 4] += vote
        if is_newest:
            found[at, 5] += voted
        found[at, 6] = max(found[at, 6], voted)
        found[at, 7] += voted * fresh


@compiled
def _read_queries(
    offsets: Offsets,
    items: Ids,
    query_max: int,
    parts: tuple[kernel.Postings, kernel.Weights, kernel.Scratch],
    fresh: Reals,
    closest: tuple[Reals, Ids],
    candidates: Ids,
    found: Features,
    of_query: Features,
) -> None:
    postings, weights, scratch = parts
    for number in range(len(offsets) - 1):
        query = items[max(offsets[number], offsets[number + 1] - query_max) : offsets[number + 1]]
        for at in range(candidates.shape[1]):
            if candidates[number, at] >= 0:
                scratch.slot[candidates[number, at]] = at
        sharing = kernel.find_candidates(query, postings, weights, scratch)
        kept = kernel.keep_neighbours(sharing, weights, scratch)
        floor, highest, mass = _closest_floor(kept, scratch, closest)
        of_query[number, 0] = sharing
        of_query[number, 1] = kept
        of_query[number, 2] = highest
        of_query[number, 3] = mass
        for at in range(kept):
            session = scratch.candidates[at]
            position = scratch.last_match[session]
            scratch.last_match[session] = kernel.UNSEEN
            start = postings.session_offsets[session]
            end = postings.session_offsets[session + 1]
            match = kernel.place_of_match(query[len(query) - 1 - position], start, end, postings.session_items)
            similarity = scratch.similarity[session]
            vote = similarity * weights.last_match[position]
            floors = (floor - similarity, fresh[session], position == 0)
            _read_session(session, match, vote, floors, postings, weights, scratch.slot, found[number])
        for at in range(candidates.shape[1]):
            if candidates[number, at] >= 0:
                scratch.slot[candidates[number, at]] = kernel.UNSEEN
