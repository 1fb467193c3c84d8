"""Session-kNN for a ranker: the best items of queries, and several readings of one set of neighbours.

The search for neighbours is what costs; once they are found, a candidate is judged by more than their votes: by the
most similar ones alone, by what came right after the match, by how many hold it. A ranker learns which to believe.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.recommenders import session_knn_kernel as kernel
from domain.recommenders.compiled import Floats, Ids, Offsets, Reals, compiled
from domain.recommenders.fusion_candidates import mark, unmark, write_shares
from domain.recommenders.heap import offer
from domain.recommenders.session_knn import DAY_MS, SessionKnn

CLOSEST: Final = 30
"""How many of the most similar neighbours count for `closest`."""

BY_CANDIDATE: Final = ("score", "closest", "next", "after", "holders", "newest_match", "highest", "fresh")
"""The VSTAN score; of the closest neighbours; only what came right after the match; only what came after it, whatever
the distance; the neighbours that hold the candidate by similarity; only those matched by the newest query item; the
highest vote; and the score with an age that weighs eight times more."""

BY_QUERY: Final = ("found", "neighbours", "best_similarity", "similarity_mass")
"""How many sessions share an item, how many were kept, the highest and the summed similarity."""

ANEW: Final = -1
"""The number of no search: what was found before is not what is asked for."""

READINGS: Final = len(BY_CANDIDATE)
OF_QUERY: Final = len(BY_QUERY)
COLUMNS: Final = 1 + 2 * READINGS + OF_QUERY


class Neighbourhood(NamedTuple):
    """What readings of neighbours are taken from, and a thread's working memory for them."""

    postings: kernel.Postings
    weights: kernel.Weights
    scratch: kernel.Scratch
    fresh: Reals  # [sessions]
    closest_scores: Reals  # [CLOSEST]
    closest_ids: Ids  # [CLOSEST]
    of_query: Floats  # [OF_QUERY]


def neighbourhood(knn: SessionKnn, fresh: Reals) -> Neighbourhood:
    """For the calling thread."""
    closest = (np.empty(CLOSEST), np.empty(CLOSEST, np.int32))
    return Neighbourhood(knn.postings, knn.weights, knn.scratch(), fresh, *closest, np.empty(OF_QUERY, np.float32))


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
    """[sessions], what an age weighs beside the policy's own decay, for the last reading."""
    ages_days = (knn.index.ended_at_ms[:1].max(initial=0) - knn.index.ended_at_ms) / DAY_MS
    fresh: Reals = np.exp(-7 * ages_days / knn.policy.recency_decay_days)
    return fresh


@compiled
def describe_queries(offsets: Offsets, items: Ids, near: Neighbourhood, candidates: Ids, rows: Floats) -> None:
    """Write the `COLUMNS` of each candidate [queries, n] into `rows` [queries, n, columns]."""
    found = np.empty((candidates.shape[1], READINGS), np.float32)
    for number in range(len(offsets) - 1):
        query = newest(items[offsets[number] : offsets[number + 1]], near, 0)
        mark(candidates[number], near.scratch.slot)
        read_query(query, search(query, near), near, found)
        unmark(candidates[number], near.scratch.slot)
        write_columns(found, near.of_query, rows[number])


@compiled
def write_columns(found: Floats, of_query: Floats, rows: Floats) -> None:
    """The readings of candidates [n, READINGS] as the first `COLUMNS` of `rows` [n, columns].

    The score, each reading as a share of its mass and of its highest, and what is said of the query.
    """
    write_shares(found, rows, 1)
    for at in range(len(found)):
        rows[at, 0] = found[at, 0]
        for said in range(OF_QUERY):
            rows[at, 1 + 2 * READINGS + said] = np.log1p(of_query[said])


@compiled
def newest(query: Ids, near: Neighbourhood, spare: int) -> Ids:
    """Of a query what is searched with; and `spare` older items, which count when newer ones are left out."""
    return query[max(0, len(query) - min(len(near.weights.query) + spare, kernel.POSITIONS_MAX)) :]


@compiled
def search(query: Ids, near: Neighbourhood) -> int:
    """The neighbours of the `newest` items of a query, weighed; returns how many there are."""
    return weigh_without(query, kernel.NOTHING, find(query, ANEW, near), near)


@compiled
def find(query: Ids, search_number: int, near: Neighbourhood) -> int:
    """The sessions that share one of the `newest` items of a query; returns how many there are.

    They are there already when nothing was searched since the search of that number, which was for the same query.
    """
    if near.scratch.state[kernel.SEARCH] == search_number:
        return int(near.scratch.state[kernel.FOUND])
    found = kernel.find_candidates(query, near.postings, len(near.weights.item_score), near.scratch)
    kernel.forget(found, near.scratch)
    return found


@compiled
def weigh_without(query: Ids, without: int, found: int, near: Neighbourhood) -> int:
    """The neighbours of the `newest` items but one, among the sessions found for all of them; returns how many."""
    state = near.scratch.state
    if state[kernel.LEFT_OUT] == without:
        return int(state[kernel.KEPT])
    present = kernel.arrange(query, without, len(near.weights.query), near.weights, near.scratch)
    weighed = kernel.weigh(found, present, near.weights, near.scratch)
    near.of_query[0] = weighed
    state[kernel.LEFT_OUT] = without
    state[kernel.KEPT] = kernel.keep_neighbours(weighed, near.scratch)
    return int(state[kernel.KEPT])


@compiled
def read_query(query: Ids, neighbours: int, near: Neighbourhood, found: Floats) -> None:
    """Fill `found` [n, READINGS] with what weighed neighbours say of the candidates marked in the slots."""
    scratch, last_match, span = near.scratch, near.weights.last_match, near.weights.span
    offsets, items = near.postings.session_offsets, near.postings.session_items
    of_item, slot, fresh = near.weights.item_score, scratch.slot, near.fresh
    places, sessions, positions, moved = scratch.neighbours, scratch.weighed, scratch.position, scratch.moved
    similarity = scratch.similarity
    found[:] = 0
    floor = _closest_floor(neighbours, near)
    for number in range(neighbours):
        at = places[number]
        start, end = offsets[sessions[at]], offsets[sessions[at] + 1]
        match = kernel.place_of_match(query[len(query) - 1 - positions[at]], start, end, items)
        position = moved[positions[at]]
        vote = similarity[at] * last_match[position]
        kinds = (similarity[at] >= floor, position == 0, fresh[sessions[at]])
        for place in range(start, end):
            if slot[items[place]] >= 0:
                weight = span[(len(span) >> 1) + place - match] * of_item[items[place]]
                _read_vote(vote, weight, place - match, kinds, found[slot[items[place]]])


@compiled
def _read_vote(vote: float, weight: float, distance: int, kinds: tuple[bool, bool, float], found: Floats) -> None:
    """Add one vote to the readings of its item; `kinds`: of a closest one, of the newest match, its freshness."""
    is_close, is_newest, fresh = kinds
    voted = vote * weight
    found[0] += voted
    if is_close:
        found[1] += voted
    if distance == 1:
        found[2] += vote
    if distance > 0:
        found[3] += vote
    found[4] += vote
    if is_newest:
        found[5] += voted
    found[6] = max(found[6], voted)
    found[7] += voted * fresh


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
def _closest_floor(neighbours: int, near: Neighbourhood) -> float:
    """The lowest similarity among the closest neighbours; notes what is said of the query."""
    scores, ids, of_query = near.closest_scores, near.closest_ids, near.of_query
    places, sessions, similarities = near.scratch.neighbours, near.scratch.weighed, near.scratch.similarity
    size = 0
    highest = 0.0
    mass = 0.0
    for number in range(neighbours):
        at = places[number]
        similarity = similarities[at]
        highest = max(highest, similarity)
        mass += similarity
        if size < len(ids) or similarity >= scores[0]:
            size = offer(scores, ids, size, similarity, sessions[at])
    of_query[1] = neighbours
    of_query[2] = highest
    of_query[3] = mass
    return scores[0] if size else 0.0
