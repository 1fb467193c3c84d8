"""Cutting a log into pieces and batches, and the vectors that items start from."""

from __future__ import annotations

import numpy as np
import pytest

from batch.training.neural.batches import DAY_MS, Pieces, newest
from batch.training.neural.start import covisitation, from_neighbours, item_vectors
from domain.recommenders.session_log import SessionLog


def long_log() -> SessionLog:
    generator = np.random.default_rng(1)
    return SessionLog.of((at, generator.integers(0, 50, at % 24).tolist()) for at in range(300))


def steps_of(log: SessionLog) -> list[tuple[int, int]]:
    return sorted(
        (int(log.items[at]), int(log.items[at + 1]))
        for start, end in zip(log.offsets.tolist(), log.offsets.tolist()[1:], strict=False)
        for at in range(start, end - 1)
    )


@pytest.mark.parametrize("clicks_max", [1, 5, 100])
def test_an_epoch_holds_every_step_of_the_log_once(clicks_max: int) -> None:
    log = long_log()
    pieces = Pieces.cut(log, clicks_max)
    found = [
        (int(batch.items[row, at]), int(batch.items[row, at + 1]))
        for batch in pieces.batches(40, np.random.default_rng(0))
        for row in range(len(batch.items))
        for at in range(int(batch.is_click[row].sum()) - 1)
    ]
    assert sorted(found) == steps_of(log)
    assert pieces.clicks == len(found)
    assert pieces.lengths.max() <= clicks_max + 1


def test_batches_hold_about_the_wanted_clicks_and_little_padding() -> None:
    pieces = Pieces.cut(long_log(), 50)
    batches = list(pieces.batches(200, np.random.default_rng(0)))
    clicks = np.array([(batch.is_click[:, 1:]).sum() for batch in batches])
    assert clicks.max() < 200 + 50
    assert sum(batch.is_click.size for batch in batches) < 1.2 * sum(batch.is_click.sum() for batch in batches)


def test_a_session_of_one_click_teaches_nothing() -> None:
    assert len(Pieces.cut(SessionLog.of([(0, [1]), (1, [])]), 5)) == 0


def test_the_weight_of_a_session_halves_with_the_half_life() -> None:
    pieces = Pieces.cut(SessionLog.of([(0, [1, 2]), (2 * DAY_MS, [1, 2])]), 5, half_life_days=2)
    assert pieces.weights.tolist() == pytest.approx([2 / 3, 4 / 3])


def test_the_newest_sessions_are_kept_oldest_first() -> None:
    log = SessionLog.of([(5, [1]), (1, [2, 3]), (9, [4, 5, 6]), (3, [7])])
    kept = newest(log, 2)
    assert kept.items.tolist() == [1, 4, 5, 6]
    assert kept.offsets.tolist() == [0, 1, 4]
    assert kept.ended_at_ms.tolist() == [5, 9]
    assert newest(log, 0) is newest(log, 4) is log


def test_covisitation_counts_nearer_pairs_for_more_and_none_across_sessions() -> None:
    counts = covisitation(SessionLog.of([(0, [0, 1, 2]), (1, [3])]), 4).toarray()
    assert counts[0, 1] == counts[1, 0] == 1
    assert counts[0, 2] == pytest.approx(np.exp(-0.5))
    assert not counts[3].any()


def test_items_seen_together_start_close_together() -> None:
    generator = np.random.default_rng(0)
    log = SessionLog.of((0, (generator.permutation(10) + 10 * generator.integers(3)).tolist()) for _ in range(60))
    vectors = item_vectors(log, 31, 8, seed=0)
    near, far = vectors[:10] @ vectors[:10].T, vectors[:10] @ vectors[10:30].T
    assert near.min() > far.max()
    assert np.linalg.norm(vectors[30]) < 0.5


def test_fewer_items_than_dimensions_are_no_obstacle() -> None:
    assert item_vectors(SessionLog.of([(0, [0, 1, 2])]), 3, 16, seed=0).shape == (3, 16)


def test_a_new_item_starts_at_the_mean_of_what_was_seen_near_it() -> None:
    vectors = np.array([[1, 0], [0, 1], [0, 0], [0, 0]], np.float32)
    completed = from_neighbours(vectors, np.array([2, 3]), SessionLog.of([(0, [0, 2, 1])]))
    assert completed[2].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert not completed[3].any()
    assert not vectors[2].any()
