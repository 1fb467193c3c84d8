"""One query through the whole line-up in compiled code: what a server runs for a request.

It calls what the batches of `candidates.Lineup` call, query by query, so that the features are the same; nothing is
searched twice and nothing is allocated but the rows of the answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from domain.recommenders import covisitation_kernel, fusion_neighbours, neural_kernel
from domain.recommenders import session_knn_kernel as knn_kernel
from domain.recommenders.compiled import Floats, Ids, Offsets, Reals, compiled
from domain.recommenders.covisitation_kernel import Pairs
from domain.recommenders.fusion_candidates import list_own, mark, unite_query, unmark, write_ranks_of
from domain.recommenders.fusion_neighbours import Neighbourhood
from domain.recommenders.lineup.visitor_facts import describe_visitor
from domain.recommenders.neural_kernel import Network

SPARE: Final = 8
"""Items older than the session-kNN looks at that count when newer ones are left out."""
PAIRS_AT: Final = fusion_neighbours.COLUMNS + 1
NETWORK_AT: Final = PAIRS_AT + covisitation_kernel.COLUMNS + 1
BEHIND_NETWORK: Final = NETWORK_AT + neural_kernel.COLUMNS + 1


class Rule(NamedTuple):
    """How many candidates come from where, and what is struck."""

    bars_current: bool
    bars_seen: bool
    blocks: Offsets  # [blocks, 3]: where a list of candidates begins and ends, and how many of it are kept
    kept_of_popular: int
    own_newest: int


class Parts(NamedTuple):
    """The models, and a thread's working memory."""

    near: Neighbourhood
    pairs: Pairs
    network: Network  # of no items where the line-up has none
    by_item: Floats  # [items, facts]
    popular: Ids  # [2, n]
    rule: Rule
    counts: Ids  # [items], zeros between calls
    taken: Offsets  # [items], see `unite_query`
    queries: Offsets  # [1], the number of the newest query, for `taken`
    lists: Ids  # [ends of the blocks], of which the network's own are filled in by the caller
    scores: Reals  # [as a list of the session-kNN]
    candidates: Ids  # [most], the answer of `table`


@compiled
def table(query: Ids, encoded: Floats, parts: Parts, rows: Floats) -> int:
    """Find the candidates of a query, ascending, and write their features into `rows` [most, features].

    Returns how many there are. `encoded` is what the network makes of the query, if there is one.
    """
    near = parts.near
    searched = fusion_neighbours.newest(query, near, SPARE)
    neighbours = fusion_neighbours.search(searched, near)
    count = _gather(query, searched, neighbours, parts)
    candidates = parts.candidates[:count]
    mark(candidates, near.scratch.slot)
    _describe(query, knn_kernel.NOTHING, searched, neighbours, candidates, encoded, parts, rows[:count])
    unmark(candidates, near.scratch.slot)
    return count


@compiled
def judge_without(
    query: Ids, search: int, left_out: Ids, encoded: Floats, candidates: Ids, parts: Parts, rows: Floats
) -> None:
    """Write the features of candidates [n] as they were without one item, for each of some: [left out, n, features].

    `encoded` [left out, width] is what the network makes of each shorter query; `knn_kernel.NOTHING` leaves none out.
    `search` is the number of the query's own search, as everywhere below: it need not be done again.
    """
    near = parts.near
    searched = fusion_neighbours.newest(query, near, SPARE)
    found = fusion_neighbours.find(searched, search, near)
    mark(candidates, near.scratch.slot)
    for number in range(len(left_out)):
        without = left_out[number]
        neighbours = fusion_neighbours.weigh_without(searched, without, found, near)
        _describe(query, without, searched, neighbours, candidates, encoded[number], parts, rows[number])
    unmark(candidates, near.scratch.slot)


@compiled
def votes(query: Ids, near: Neighbourhood, items: Ids, scores: Reals) -> int:
    """The best items by the session-kNN alone, best first; returns how many there are."""
    searched = fusion_neighbours.newest(query, near, SPARE)
    neighbours = fusion_neighbours.search(searched, near)
    touched = knn_kernel.vote_for_items(searched, neighbours, near.postings, near.weights, near.scratch)
    return knn_kernel.best_items(touched, near.weights, near.scratch, items, scores)


@compiled
def votes_without(query: Ids, search: int, left_out: Ids, wanted: Ids, near: Neighbourhood, scores: Reals) -> None:
    """Fill `scores` [left out, wanted] with those of the session-kNN without one item of the query each."""
    searched = fusion_neighbours.newest(query, near, SPARE)
    found = fusion_neighbours.find(searched, search, near)
    weights, scratch = near.weights, near.scratch
    for number in range(len(left_out)):
        neighbours = fusion_neighbours.weigh_without(searched, left_out[number], found, near)
        touched = knn_kernel.vote_for_items(searched, neighbours, near.postings, weights, scratch)
        votes, touched_items, of_item = scratch.item_scores, scratch.touched, weights.item_score
        for at in range(len(wanted)):
            scores[number, at] = np.float32(votes[wanted[at]] * of_item[wanted[at]])
        for at in range(touched):
            votes[touched_items[at]] = 0.0


@compiled
def evidence(query: Ids, search: int, wanted: Ids, parts: Parts, shares: Reals) -> None:
    """Add to `shares` [wanted, positions from the end] how much of each item's votes each query item brought.

    Of the session-kNN's and of the rows' score: each sums to 1 over the positions, where it is not 0.
    """
    near = parts.near
    searched = fusion_neighbours.newest(query, near, SPARE)
    found = fusion_neighbours.find(searched, search, near)
    neighbours = fusion_neighbours.weigh_without(searched, knn_kernel.NOTHING, found, near)
    scratch = near.scratch
    knn_kernel.share_votes(searched, neighbours, near.postings, near.weights, scratch, wanted, shares)
    _to_one(shares)
    from_rows = np.zeros_like(shares)
    mark(wanted, scratch.slot)
    covisitation_kernel.share_rows(query, parts.pairs, scratch.slot, from_rows)
    unmark(wanted, scratch.slot)
    _to_one(from_rows)
    shares += from_rows


@compiled
def _to_one(shares: Reals) -> None:
    for at in range(len(shares)):
        mass = shares[at].sum()
        if mass > 0.0:
            shares[at] /= mass


@compiled
def _gather(query: Ids, searched: Ids, neighbours: int, parts: Parts) -> int:
    near, rule, lists = parts.near, parts.rule, parts.lists
    of_knn = lists[rule.blocks[0, 0] : rule.blocks[0, 1]]
    touched = knn_kernel.vote_for_items(searched, neighbours, near.postings, near.weights, near.scratch)
    size = knn_kernel.best_items(touched, near.weights, near.scratch, of_knn, parts.scores)
    of_knn[size:] = -1
    of_pairs = lists[rule.blocks[1, 0] : rule.blocks[1, 1]]
    size = covisitation_kernel.rank_items(query, parts.pairs, of_pairs, parts.scores)
    of_pairs[size:] = -1
    list_own(query, parts.counts, rule.own_newest, lists[rule.blocks[2, 0] : rule.blocks[2, 1]])
    parts.queries[0] += 2
    return unite_query(
        (query, query[len(query) - 1], parts.queries[0]),
        (rule.bars_current, rule.bars_seen),
        lists,
        rule.blocks,
        (parts.popular, rule.kept_of_popular),
        parts.taken,
        parts.candidates,
    )


@compiled
def _describe(
    query: Ids,
    without: int,
    searched: Ids,
    neighbours: int,
    candidates: Ids,
    encoded: Floats,
    parts: Parts,
    rows: Floats,
) -> None:
    near, slot = parts.near, parts.near.scratch.slot
    current = -1
    for item in query:
        if item != without:
            current = item
    found = np.empty((len(candidates), fusion_neighbours.READINGS), np.float32)
    fusion_neighbours.read_query(searched, neighbours, near, found)
    fusion_neighbours.write_columns(found, near.of_query, rows)
    write_ranks_of(candidates, rows, 0, PAIRS_AT - 1)
    of_pairs = np.empty((len(candidates), covisitation_kernel.READINGS), np.float32)
    covisitation_kernel.weigh_query(query, without, parts.pairs, slot, of_pairs)
    covisitation_kernel.write_columns(of_pairs, rows[:, PAIRS_AT:])
    write_ranks_of(candidates, rows, PAIRS_AT, NETWORK_AT - 1)
    last = NETWORK_AT
    if len(parts.network.vectors):
        neural_kernel.judge_query(parts.network, encoded, current, candidates, rows[:, NETWORK_AT:])
        write_ranks_of(candidates, rows, NETWORK_AT, BEHIND_NETWORK - 1)
        last = BEHIND_NETWORK
    describe_visitor(query, without, current, parts.by_item, slot, candidates, rows[:, last:])
