"""What the batch kernels of the fusion read must be what the models say one by one."""

from __future__ import annotations

import numpy as np

from domain.recommenders.fusion_candidates import (
    left_aligned,
    mark,
    own_items,
    place_query,
    strike_seen,
    unite,
    unmark,
    write_ranks,
    write_shares,
)
from domain.recommenders.fusion_neighbours import (
    BY_CANDIDATE,
    READINGS,
    freshness,
    neighbourhood,
    newest,
    rank_all,
    read_query,
    search,
)
from domain.recommenders.protocol import Session
from domain.recommenders.session_knn import DAY_MS, SessionKnn
from domain.recommenders.session_knn_policy import SessionKnnPolicy
from domain.recommenders.session_log import SessionLog

ITEMS = 40


def queries(*prefixes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    offsets = np.cumsum([0, *(len(prefix) for prefix in prefixes)]).astype(np.int64)
    return offsets, np.array([item for prefix in prefixes for item in prefix], np.int32)


def some_knn(neighbours_max: int) -> SessionKnn:
    generator = np.random.default_rng(3)
    sessions = [(int(generator.integers(30)) * DAY_MS, generator.integers(0, ITEMS, 6).tolist()) for _ in range(200)]
    return SessionKnn.build(SessionLog.of(sessions), ITEMS, SessionKnnPolicy(neighbours_max=neighbours_max))


def test_a_batch_is_ranked_as_each_query_is() -> None:
    knn = some_knn(50)
    prefixes = [[3, 9, 11], [5], [], [7, 7, 2]]
    best = rank_all(knn, *queries(*prefixes), 12)
    for prefix, ranked in zip(prefixes, best, strict=True):
        expected = knn.rank(Session(tuple(prefix)), 12).items.tolist()
        assert ranked[ranked >= 0].tolist() == expected


def test_the_score_that_is_read_is_the_score_of_the_model() -> None:
    knn = some_knn(50)
    candidates = np.arange(ITEMS, dtype=np.int32)
    candidates[5] = -1
    near = neighbourhood(knn, freshness(knn))
    found, of_query = np.zeros((2, ITEMS, READINGS), np.float32), np.zeros((2, len(near.of_query)), np.float32)
    for number, prefix in enumerate(([3, 9, 11], [5])):
        query = newest(np.array(prefix, np.int32), near, 0)
        mark(candidates, near.scratch.slot)
        read_query(query, search(query, near), near, found[number])
        unmark(candidates, near.scratch.slot)
        of_query[number] = near.of_query
        expected = knn.scores(Session(tuple(prefix)), np.arange(ITEMS, dtype=np.int32))
        expected[5] = 0
        np.testing.assert_allclose(found[number, :, 0], expected, rtol=1e-5)
    assert (of_query[:, 1] <= 50).all()
    closest, score, highest = (found[:, :, BY_CANDIDATE.index(name)] for name in ("closest", "score", "highest"))
    assert (closest <= score * 1.0001).all()
    assert (highest <= score * 1.0001).all()
    assert closest.sum() < score.sum()
    assert knn.rank(Session((3,)), 5).items.tolist() == some_knn(50).rank(Session((3,)), 5).items.tolist()


def test_own_items_are_the_newest_and_the_repeated_ones() -> None:
    own = own_items(*queries([1, 2, 1, 3, 2, 1], [], [4]), ITEMS, 2, 2)
    assert own.tolist() == [[1, 2, 1, 2], [-1, -1, -1, -1], [4, -1, -1, -1]]


def test_candidates_are_placed_by_their_newest_occurrence() -> None:
    slot, placed = np.full(ITEMS, -1, np.int32), np.empty((4, 3), np.float32)
    mark(np.array([1, 3, 9, -1], np.int32), slot)
    place_query(np.array([1, 2, 1, 3], np.int32), -2, slot, 250.0, placed)
    assert placed[:3].tolist() == [[1, 2, 3], [0, 1, 250], [250, 0, 250]]


def test_what_was_seen_is_struck_from_its_own_query_only() -> None:
    lists = np.array([[1, 2, 3], [1, 2, 3]], np.int32)
    strike_seen(lists, *queries([1, 3], [2]), ITEMS)
    assert lists.tolist() == [[-1, 2, -1], [1, -1, 3]]
    assert left_aligned(lists, 2).tolist() == [[2, -1], [1, 3]]


def test_the_union_takes_of_each_list_the_first_that_are_not_struck() -> None:
    offsets, items = queries([1, 2], [5])
    lists = np.array([[2, 9, 1, 7, 3, 4], [8, -1, -1, 5, 5, 6]], np.int32)
    blocks = np.array([[0, 3, 1], [3, 6, 2]], np.int64)
    popular = np.array([[2, 0, 4]], np.int32)

    def united(*, current: bool = False, seen: bool = False) -> list[list[int]]:
        newest = np.array([2, 5], np.int32)
        found: list[list[int]]
        found = unite((offsets, items, newest), (current, seen), ITEMS, lists, blocks, (popular, 1)).tolist()
        return found

    assert united() == [[2, 3, 7], [2, 5, 8]]
    assert united(current=True) == [[0, 3, 7, 9], [2, 6, 8, -1]]
    assert united(seen=True) == [[0, 3, 7, 9], [2, 6, 8, -1]]


def test_shares_and_ranks_are_of_the_candidates_of_their_query() -> None:
    values = np.array([[[1.0, 0.0], [3.0, 0.0], [4.0, 0.0]]], np.float32)
    rows = np.full((1, 3, 6), 9.0, np.float32)
    write_shares(values[0], rows[0], 1)
    assert rows[0, :, 1].tolist() == [0.125, 0.375, 0.5]
    assert rows[0, :, 2].tolist() == [0.25, 0.75, 1.0]
    assert rows[0, :, 3:5].tolist() == [[0.0, 0.0]] * 3
    rows[0, :, 0] = [5.0, 5.0, 7.0]
    write_ranks(np.array([[4, 6, 8]], np.int32), rows, 0, 5)
    assert rows[0, :, 5].tolist() == [1.0, 2.0, 0.0]
    write_ranks(np.array([[4, -1, -1]], np.int32), rows, 0, 5)
    assert rows[0, 0, 5] == 0.0
