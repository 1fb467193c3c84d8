"""The compiled inner loops of the session-kNN; `session_knn.py` has the equations and the reasons.

All arrays are passed in: a call allocates nothing, holds no interpreter lock, and leaves `Scratch` as it found it. They
are taken out of their tuples before a loop, which would count references else, and take several times as long.
Arithmetic is float64 without fast-math and in a fixed order, so that a plain Python reference gives equal bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.recommenders.compiled import Ids, Offsets, Reals, compiled
from domain.recommenders.heap import is_worse, offer, sort_best_first

Bits = npt.NDArray[np.uint64]

UNSEEN = -1
POSITIONS_MAX = 64
"""Which query items found a session are the bits of one word."""

SEARCH, FOUND, LEFT_OUT, KEPT = range(4)
NOT_WEIGHED = -3
NOTHING = -2
"""No item: what `arrange` leaves out of a query that is asked as it is."""


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
    """Working memory of one thread. Between calls `place` and `slot` are all UNSEEN and `item_scores` all 0.

    First the sessions that share an item with the query (`found` of them), then those of these that count (`weighed`),
    then the places of the neighbours among the weighed ones.
    """

    place: Ids  # [sessions], where a session stands among the found ones
    found: Ids  # [min(sessions, query items * sessions_per_item_max)]
    matches: Bits  # [as found], bit p: found by the query item at position p
    first_match: Ids  # [as found], the lowest of these positions
    weighed: Ids  # [as found], a session
    counted: Bits  # [as found], the matches of the weighed session that count
    similarity: Reals  # [as found], of the weighed session
    position: Ids  # [as found], of the newest query item that counts and found the weighed session
    neighbours: Ids  # [neighbours_max]
    heap_scores: Reals  # [neighbours_max]
    heap_ids: Ids  # [neighbours_max]
    strengths: Reals  # [positions], what a match at a position adds to a similarity
    state: Offsets  # [4]: number of the newest search, how many it found, what its neighbours are without, how many
    moved: Ids  # [positions], where an item stands once what is left out is gone
    item_scores: Reals  # [items]
    touched: Ids  # [items]
    slot: Ids  # [items], where an explained item stands in the list of explained items


@compiled
def find_candidates(query: Ids, postings: Postings, items_count: int, scratch: Scratch) -> int:
    """The sessions that share an item with the query, each with its matches; a repeated item counts at its newest."""
    offsets, sessions, places = postings.item_offsets, postings.item_sessions, scratch.place
    found, matches, first_match = scratch.found, scratch.matches, scratch.first_match
    count = 0
    length = len(query)
    for position in range(length):
        item = query[length - 1 - position]
        if item < 0 or item >= items_count:
            continue
        repeated = False
        for newer in range(position):
            if query[length - 1 - newer] == item:
                repeated = True
        if repeated:
            continue
        bit = np.uint64(1) << np.uint64(position)
        for at in range(offsets[item], offsets[item + 1]):
            session = sessions[at]
            place = places[session]
            if place == UNSEEN:
                places[session] = count
                found[count] = session
                first_match[count] = position
                matches[count] = bit
                count += 1
            else:
                matches[place] |= bit
    scratch.state[SEARCH] += 1
    scratch.state[FOUND] = count
    scratch.state[LEFT_OUT] = NOT_WEIGHED
    return count


@compiled
def forget(found: int, scratch: Scratch) -> None:
    """Leave the working memory as it was before `find_candidates`."""
    places, sessions = scratch.place, scratch.found
    for at in range(found):
        places[sessions[at]] = UNSEEN


@compiled
def arrange(query: Ids, without: int, query_max: int, weights: Weights, scratch: Scratch) -> np.uint64:
    """Positions of the newest `query_max` query items that are not `without`, as bits; with what each adds."""
    present = np.uint64(0)
    kept = 0
    for position in range(len(query)):
        item = query[len(query) - 1 - position]
        if item == without:
            continue
        if kept == query_max:
            break
        if 0 <= item < len(weights.item_score):
            scratch.strengths[position] = weights.query[kept] * weights.item_similarity[item]
            scratch.moved[position] = kept
            present |= np.uint64(1) << np.uint64(position)
        kept += 1
    return present


@compiled
def weigh(found: int, present: np.uint64, weights: Weights, scratch: Scratch) -> int:
    """The found sessions that the present positions found, with their similarities; returns how many there are."""
    one, of_session, strengths, similarities = np.uint64(1), weights.session, scratch.strengths, scratch.similarity
    sessions, all_matches, first_match = scratch.found, scratch.matches, scratch.first_match
    weighed, counted, positions = scratch.weighed, scratch.counted, scratch.position
    count = 0
    for at in range(found):
        matches = all_matches[at] & present
        if matches == np.uint64(0):
            continue
        position = first_match[at]
        while not (matches >> np.uint64(position)) & one:
            position += 1
        similarity = strengths[position]
        counted[count] = matches
        positions[count] = position
        rest = matches & (matches - one)
        while rest != np.uint64(0):
            position += 1
            if (rest >> np.uint64(position)) & one:
                similarity += strengths[position]
                rest &= rest - one
        weighed[count] = sessions[at]
        similarities[count] = similarity * of_session[sessions[at]]
        count += 1
    return count


@compiled
def keep_neighbours(weighed: int, scratch: Scratch) -> int:
    """The places of the best `neighbours_max` of the weighed sessions, in the order in which they were found."""
    heap_scores, heap_ids, neighbours = scratch.heap_scores, scratch.heap_ids, scratch.neighbours
    sessions, similarity = scratch.weighed, scratch.similarity
    if weighed <= len(heap_ids):
        for at in range(weighed):
            neighbours[at] = at
        return weighed
    size = 0
    for at in range(weighed):
        if size < len(heap_ids) or similarity[at] >= heap_scores[0]:  # a call costs more than this
            size = offer(heap_scores, heap_ids, size, similarity[at], sessions[at])
    worst_score, worst_id = heap_scores[0], heap_ids[0]
    kept = 0
    for at in range(weighed):
        if not is_worse(similarity[at], sessions[at], worst_score, worst_id):
            neighbours[kept] = at
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
def vote_for_items(query: Ids, neighbours: int, postings: Postings, weights: Weights, scratch: Scratch) -> int:
    """Let each neighbour vote for its items, by their distance from the match; returns how many items were touched."""
    offsets, items = postings.session_offsets, postings.session_items
    item_scores, touched, span = scratch.item_scores, scratch.touched, weights.span
    places, sessions, positions, moved = scratch.neighbours, scratch.weighed, scratch.position, scratch.moved
    similarity, last_match = scratch.similarity, weights.last_match
    count = 0
    for number in range(neighbours):
        at = places[number]
        start, end = offsets[sessions[at]], offsets[sessions[at] + 1]
        match = place_of_match(query[len(query) - 1 - positions[at]], start, end, items)
        vote = similarity[at] * last_match[moved[positions[at]]]
        for place in range(start, end):
            voted = vote * span[(len(span) >> 1) + place - match]
            if voted > 0.0:
                if item_scores[items[place]] == 0.0:
                    touched[count] = items[place]
                    count += 1
                item_scores[items[place]] += voted
    return count


@compiled
def best_items(touched: int, weights: Weights, scratch: Scratch, items: Ids, scores: Reals) -> int:
    """Fill `items` and `scores` best first, return how many there are, and forget the votes.

    Only scores above zero as float32 count.
    """
    item_scores, found, item_weights = scratch.item_scores, scratch.touched, weights.item_score
    size = 0
    for at in range(touched):
        item = found[at]
        score = np.float32(item_scores[item] * item_weights[item])
        item_scores[item] = 0.0
        if score > 0 and (size < len(items) or score >= scores[0]):
            size = offer(scores, items, size, np.float64(score), item)
    sort_best_first(scores, items, size)
    return size


@compiled
def _credit(matches: np.uint64, voted: float, strengths: Reals, shares: Reals) -> None:
    """Share out one vote among the query items that found the voter, by their weights in its similarity."""
    total = 0.0
    for position in range(len(strengths)):
        if (matches >> np.uint64(position)) & np.uint64(1):
            total += strengths[position]
    for position in range(len(strengths)):
        if (matches >> np.uint64(position)) & np.uint64(1):
            shares[position] += voted * strengths[position] / total


@compiled
def _search(query: Ids, postings: Postings, weights: Weights, scratch: Scratch) -> int:
    """The neighbours of a query, every item of which counts; returns how many there are. Nothing stays taken."""
    found = find_candidates(query, postings, len(weights.item_score), scratch)
    present = arrange(query, NOTHING, len(weights.query), weights, scratch)
    neighbours = keep_neighbours(weigh(found, present, weights, scratch), scratch)
    forget(found, scratch)
    return neighbours


@compiled
def rank_items(query: Ids, postings: Postings, weights: Weights, scratch: Scratch, items: Ids, scores: Reals) -> int:
    """Fill `items` and `scores` best first and return how many there are; only scores above zero as float32 count."""
    neighbours = _search(query, postings, weights, scratch)
    touched = vote_for_items(query, neighbours, postings, weights, scratch)
    return best_items(touched, weights, scratch, items, scores)


@compiled
def score_wanted(
    query: Ids, postings: Postings, weights: Weights, scratch: Scratch, wanted: Ids, scores: Reals
) -> None:
    """Fill `scores` for the `wanted` items; an item that no neighbour holds, or outside the vocabulary, scores 0."""
    neighbours = _search(query, postings, weights, scratch)
    touched = vote_for_items(query, neighbours, postings, weights, scratch)
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
    neighbours = _search(query, postings, weights, scratch)
    share_votes(query, neighbours, postings, weights, scratch, wanted, shares)


@compiled
def share_votes(
    query: Ids, neighbours: int, postings: Postings, weights: Weights, scratch: Scratch, wanted: Ids, shares: Reals
) -> None:
    """`share_out` of neighbours that are there."""
    slot, strengths = scratch.slot, scratch.strengths[: len(query)]
    places, sessions, positions, moved = scratch.neighbours, scratch.weighed, scratch.position, scratch.moved
    similarity, counted, last_match = scratch.similarity, scratch.counted, weights.last_match
    offsets, items, span = postings.session_offsets, postings.session_items, weights.span
    for at in range(len(wanted)):
        slot[wanted[at]] = at
    for number in range(neighbours):
        at = places[number]
        start, end = offsets[sessions[at]], offsets[sessions[at] + 1]
        match = place_of_match(query[len(query) - 1 - positions[at]], start, end, items)
        vote = similarity[at] * last_match[moved[positions[at]]]
        for place in range(start, end):
            if slot[items[place]] != UNSEEN:
                voted = vote * span[(len(span) >> 1) + place - match]
                _credit(counted[at], voted, strengths, shares[slot[items[place]]])
    for at in range(len(wanted)):
        slot[wanted[at]] = UNSEEN
