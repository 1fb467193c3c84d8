"""The recommenders below the personal slate: item to item, sequential rules, popularity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domain.recommenders.popularity import Popularity
from domain.recommenders.protocol import GAP, Recommender, Session
from domain.recommenders.sequential_rules import SequentialRules
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from domain.recommenders.similar import ItemToItem
from domain.recommenders.stored import UnreadableModel

LOG = SessionLog.of([(0, [0, 1, 2]), (1, [0, 1]), (2, [3, 0, 2]), (3, [4])])


def recommenders() -> list[Recommender]:
    return [
        Popularity(np.array([5, 0, 7, 5, 1], np.int64)),
        SequentialRules.build(LOG, 5),
        ItemToItem(SessionKnn.build(LOG, 5)),
        SessionKnn.build(LOG, 5),
    ]


def test_popularity_ranks_by_count_then_by_the_lower_id_and_leaves_out_what_nobody_saw() -> None:
    ranking = Popularity(np.array([5, 0, 7, 5, 1], np.int64)).rank(Session(()), 9)
    assert ranking.items.tolist() == [2, 0, 3, 4]
    assert ranking.scores.tolist() == [7, 5, 5, 1]


def test_counts_too_close_for_a_float_are_still_ranked_exactly() -> None:
    counts = np.array([2**60, 2**60 + 1], np.int64)
    assert Popularity(counts).rank(Session(()), 2).items.tolist() == [1, 0]


def test_sequential_rules_weigh_by_the_steps_between() -> None:
    ranking = SequentialRules.build(LOG, 5).rank(Session((4, 0)), 9)
    assert ranking.items.tolist() == [1, 2]  # 1 follows at once in two sessions; 2 at once in one, in two steps in one
    assert ranking.scores.tolist() == [2.0, 1.5]


def test_sequential_rules_do_not_reach_over_the_border_of_a_session() -> None:
    rules = SequentialRules.build(SessionLog.of([(0, [0, 1]), (1, [2, 3])]), 4)
    assert rules.rank(Session((1,)), 9).items.tolist() == []


def test_similar_items_are_without_the_item_itself() -> None:
    similar = ItemToItem(SessionKnn.build(LOG, 5)).similar(0, 9)
    assert sorted(similar.items.tolist()) == [1, 2, 3]
    assert len(ItemToItem(SessionKnn.build(LOG, 5)).similar(0, 2)) == 2


def test_item_to_item_looks_at_the_newest_known_item_only() -> None:
    similar = ItemToItem(SessionKnn.build(LOG, 5))
    assert similar.rank(Session((3, 1, GAP, 99)), 9).items.tolist() == similar.similar(1, 9).items.tolist()


@pytest.mark.parametrize("recommender", recommenders(), ids=lambda each: type(each).__name__)
def test_every_recommender_keeps_the_protocols_promises(recommender: Recommender, tmp_path: Path) -> None:
    for session in (Session((0,)), Session((3, 0)), Session((99, GAP)), Session(())):
        for k in (0, 1, 2, 50):
            ranking = recommender.rank(session, k)
            assert len(ranking) <= k
            assert ranking.items.dtype == np.int32
            assert ranking.scores.dtype == np.float32
            assert len(set(ranking.items.tolist())) == len(ranking)
            keys = list(zip((-ranking.scores).tolist(), ranking.items.tolist(), strict=True))
            assert keys == sorted(keys)
    recommender.save(tmp_path)
    again = type(recommender).load(tmp_path)
    assert again.rank(Session((3, 0)), 9).items.tolist() == recommender.rank(Session((3, 0)), 9).items.tolist()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    SequentialRules.build(LOG, 5).save(tmp_path)
    (tmp_path / "sequential_rules.npz").rename(tmp_path / "popularity.npz")
    with pytest.raises(UnreadableModel, match="sequential-rules/1"):
        Popularity.load(tmp_path)
