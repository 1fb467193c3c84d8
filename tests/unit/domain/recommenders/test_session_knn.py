"""Behaviour of the session-kNN that one can follow by hand; equality with the reference is a property test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from domain.recommenders.compiled import compiled
from domain.recommenders.protocol import GAP, Session
from domain.recommenders.session_knn import DAY_MS, SessionKnn
from domain.recommenders.session_knn_policy import SessionKnnPolicy
from domain.recommenders.session_log import SessionLog
from domain.recommenders.stored import UnreadableModel

KETTLE, TEAPOT, CUP, SPADE, RAKE = range(5)


def knn(*sessions: tuple[float, list[int]], policy: SessionKnnPolicy | None = None) -> SessionKnn:
    """An index of sessions, each with the day on which it ended."""
    log = SessionLog.of((round(day * DAY_MS), items) for day, items in sessions)
    return SessionKnn.build(log, 5, policy or SessionKnnPolicy())


def top(recommender: SessionKnn, *query: int) -> list[int]:
    """What is new to the visitor, best first."""
    items: list[int] = recommender.rank(Session(query), 5).items.tolist()
    return [item for item in items if item not in query]


def test_what_followed_in_a_similar_session_comes_first() -> None:
    shop = knn((0, [KETTLE, TEAPOT]), (0, [SPADE, RAKE]))
    assert top(shop, KETTLE) == [TEAPOT]
    assert top(shop, SPADE) == [RAKE]


def test_a_newer_session_weighs_more_than_an_older_one() -> None:
    assert top(knn((0, [KETTLE, TEAPOT]), (50, [KETTLE, CUP])), KETTLE) == [CUP, TEAPOT]
    assert top(knn((50, [KETTLE, TEAPOT]), (0, [KETTLE, CUP])), KETTLE) == [TEAPOT, CUP]


def test_what_came_after_the_match_weighs_more_than_what_came_before() -> None:
    assert top(knn((0, [TEAPOT, KETTLE, CUP])), KETTLE) == [CUP, TEAPOT]


def test_the_newest_item_of_the_query_weighs_most() -> None:
    shop = knn((0, [KETTLE, TEAPOT]), (0, [SPADE, RAKE]))
    assert top(shop, KETTLE, SPADE) == [RAKE, TEAPOT]
    assert top(shop, SPADE, KETTLE) == [TEAPOT, RAKE]


def test_equal_scores_are_ordered_by_the_lower_id() -> None:
    shop = knn((0, [KETTLE, RAKE]), (0, [KETTLE, CUP]), (0, [KETTLE, SPADE]))
    assert top(shop, KETTLE) == [CUP, SPADE, RAKE]


def test_an_item_keeps_only_its_newest_sessions() -> None:
    policy = SessionKnnPolicy(sessions_per_item_max=1)
    assert top(knn((1, [KETTLE, TEAPOT]), (2, [KETTLE, CUP]), policy=policy), KETTLE) == [CUP]


def test_scores_stay_above_zero_however_old_the_log_is() -> None:
    assert top(knn((0, [KETTLE, TEAPOT]), (36_500, [SPADE, RAKE])), KETTLE) == [TEAPOT]


@pytest.mark.parametrize("query", [(), (GAP,), (77,)])
def test_a_session_without_known_items_has_no_answer(query: tuple[int, ...]) -> None:
    ranking = knn((0, [KETTLE, TEAPOT])).rank(Session(query), 5)
    assert len(ranking) == 0
    assert ranking.items.dtype == np.int32
    assert ranking.scores.dtype == np.float32


def test_an_empty_log_has_no_answer_and_can_be_warmed() -> None:
    nothing = knn()
    nothing.warm()
    assert len(nothing.rank(Session((KETTLE,)), 5)) == 0


def test_the_reason_is_the_item_whose_sessions_brought_the_score() -> None:
    shop = knn((0, [KETTLE, TEAPOT]), (0, [SPADE, RAKE]), (0, [KETTLE, CUP]))
    reasons = shop.because(Session((KETTLE, SPADE)), np.array([TEAPOT, RAKE, CUP], np.int32))
    assert reasons == [KETTLE, SPADE, KETTLE]


def test_an_item_that_the_session_did_not_bring_up_has_no_reason() -> None:
    shop = knn((0, [KETTLE, TEAPOT]), (0, [SPADE, RAKE]))
    assert shop.because(Session((KETTLE,)), np.array([RAKE, TEAPOT], np.int32)) == [None, KETTLE]


def test_threads_share_an_index_without_sharing_working_memory() -> None:
    generator = np.random.default_rng(5)
    sessions = [(day, generator.integers(0, 5, size=6).tolist()) for day in range(300)]
    shop = knn(*sessions)
    queries = [Session(tuple(generator.integers(0, 5, size=4).tolist())) for _ in range(400)]
    alone = [shop.rank(query, 5).scores.tolist() for query in queries]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda query: shop.rank(query, 5).scores.tolist(), queries * 3))
    assert together == alone * 3


def test_a_file_of_another_format_is_refused_with_its_path(tmp_path: Path) -> None:
    knn((0, [KETTLE, TEAPOT])).save(tmp_path)
    (tmp_path / "session_index.npz").write_bytes(b"not an index")
    with pytest.raises(UnreadableModel, match=r"session_index\.npz"):
        SessionKnn.load(tmp_path)


def test_a_policy_with_an_unknown_or_impossible_field_is_refused(tmp_path: Path) -> None:
    knn((0, [KETTLE, TEAPOT])).save(tmp_path)
    path = tmp_path / "session_knn.json"
    stored = path.read_text()
    for broken in (stored.replace("neighbours_max", "neighbors_max"), stored.replace(": 2000", ": 0")):
        assert broken != stored
        path.write_text(broken)
        with pytest.raises(UnreadableModel, match=r"session_knn\.json"):
            SessionKnn.load(tmp_path)


def test_without_a_place_for_numbas_cache_the_kernel_still_compiles() -> None:
    """Code without a file is what numba cannot cache, as it cannot in a read-only folder."""
    scope: dict[str, object] = {}
    exec("def twice(x): return 2 * x", scope)
    twice = compiled(scope["twice"])  # type: ignore[type-var]
    assert twice(21) == 42  # type: ignore[operator]
