"""Training on a tiny catalogue in which the next click is known: items follow each other in rings."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from batch.training.neural.contract import Loss, NeuralPolicy, NextClicks
from batch.training.neural.judging import judge, sample
from batch.training.neural.train import continue_on, policy_to_continue, train
from domain.recommenders.neural_encoders import EncoderKind
from domain.recommenders.protocol import Session
from domain.recommenders.session_log import SessionLog

ITEMS = 60
POLICY = NeuralPolicy(
    dimensions=16, clicks_max=6, layers=1, heads=2, epochs=6, dropout=0.0, clicks_per_batch=64, learning_rate=0.02
)


def rings(sessions: int, items: int = ITEMS, seed: int = 0) -> SessionLog:
    """Sessions that go round a ring of `items`, from a random place, 3 to 8 clicks long."""
    generator = np.random.default_rng(seed)
    starts, lengths = generator.integers(0, items, sessions).tolist(), generator.integers(3, 9, sessions).tolist()
    return SessionLog.of(
        (at, [(start + step) % items for step in range(length)])
        for at, (start, length) in enumerate(zip(starts, lengths, strict=True))
    )


def next_clicks(log: SessionLog) -> NextClicks:
    """The last click of every session is asked for."""
    items = np.concatenate(
        [log.items[start : end - 1] for start, end in zip(log.offsets, log.offsets[1:], strict=False)]
    )
    return NextClicks(log.offsets - np.arange(len(log) + 1), items, log.items[log.offsets[1:] - 1].astype(np.int64))


@pytest.mark.parametrize("encoder", ["gru", "sasrec", "bert4rec"])
def test_every_encoder_learns_what_follows(encoder: EncoderKind) -> None:
    trained = train(rings(400), ITEMS, replace(POLICY, encoder=encoder, epochs=10))
    assert judge(trained.model, next_clicks(rings(50, seed=1)))["mrr@20"] > 0.6


@pytest.mark.parametrize("loss", ["cross-entropy", "bpr-max", "gbce"])
def test_every_loss_with_drawn_negatives_learns_what_follows(loss: Loss) -> None:
    policy = replace(POLICY, loss=loss, negatives=30, full_softmax_work_max=0, epochs=10)
    trained = train(rings(400), ITEMS, policy)
    assert judge(trained.model, next_clicks(rings(50, seed=1)))["mrr@20"] > 0.6


def test_the_same_policy_and_log_give_the_same_weights_and_another_seed_others() -> None:
    policy = replace(POLICY, epochs=2, dropout=0.2, negatives=20, full_softmax_work_max=0)
    first, again = (train(rings(100), ITEMS, policy).model for _ in range(2))
    assert (first.vectors == again.vectors).all()
    assert all((first.arrays[name] == again.arrays[name]).all() for name in first.arrays)
    other = train(rings(100), ITEMS, replace(policy, seed=1)).model
    assert (first.vectors != other.vectors).any()


def test_the_policy_that_a_budget_chose_trains_the_same_model_without_a_budget() -> None:
    within = train(rings(300), ITEMS, replace(POLICY, epochs=3), minutes_max=5)
    assert within.epochs_done == within.policy.epochs == 3
    again = train(rings(300), ITEMS, within.policy)
    assert (within.model.vectors == again.model.vectors).all()


def test_where_the_clock_stops_a_training_its_policy_stops_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = itertools.count()
    clock = SimpleNamespace(perf_counter=lambda: 0.0 if next(looks) < 60 else 1e9)
    monkeypatch.setattr("batch.training.neural.train.time", clock)
    stopped = train(rings(400), ITEMS, POLICY, minutes_max=5)
    assert 20 <= stopped.policy.steps_max < 100
    assert stopped.policy.epochs == POLICY.epochs
    again = train(rings(400), ITEMS, stopped.policy)
    assert again.epochs_done == stopped.epochs_done
    assert (stopped.model.vectors == again.model.vectors).all()


def test_a_budget_below_one_epoch_learns_from_the_newest_sessions() -> None:
    trained = train(rings(400), ITEMS, replace(POLICY, epochs=5), minutes_max=1e-6)
    assert trained.epochs_done == 1
    assert 0 < trained.policy.sessions_max < 400


def test_validation_keeps_the_best_epoch_and_stops_when_it_gets_no_better() -> None:
    told: list[str] = []
    policy = replace(POLICY, epochs=30, patience=1, learning_rate=0.05)
    trained = train(rings(200), ITEMS, policy, next_clicks(rings(50, seed=1)), tell=told.append)
    epochs = [line for line in told if line.startswith("epoch")]
    assert len(epochs) < 30
    assert len(epochs) == trained.epochs_done + 1
    assert judge(trained.model, next_clicks(rings(50, seed=1))) == trained.metrics


def test_items_outside_the_log_are_not_ranked() -> None:
    trained = train(rings(100), ITEMS + 5, replace(POLICY, epochs=1))
    assert not trained.model.knows(ITEMS)
    assert max(trained.model.rank(Session((1, 2)), ITEMS + 5).items.tolist()) < ITEMS


def test_going_on_knows_new_items_and_keeps_what_was_learnt() -> None:
    trained = train(rings(400), ITEMS, replace(POLICY, epochs=10))
    newer = rings(300, items=ITEMS + 3, seed=2)
    went_on = continue_on(trained.model, newer, policy_to_continue(POLICY, epochs=2))
    assert went_on.model.items_count == ITEMS + 3
    assert went_on.model.knows(ITEMS + 2)
    assert went_on.model.rank(Session((ITEMS - 2, ITEMS - 1)), 3).items.tolist()[0] == ITEMS
    assert judge(went_on.model, next_clicks(rings(50, seed=1)))["mrr@20"] > 0.6


def test_a_model_cannot_go_on_by_a_policy_of_another_shape() -> None:
    trained = train(rings(50), ITEMS, replace(POLICY, epochs=1))
    with pytest.raises(ValueError, match="cannot go on"):
        continue_on(trained.model, rings(50), replace(POLICY, encoder="sasrec"))


def test_judging_strikes_what_may_not_be_recommended() -> None:
    model = train(rings(50), ITEMS, replace(POLICY, epochs=1)).model
    offsets, items = np.array([0, 3, 5, 6]), np.array([3, 4, 5, 8, 9, 2], np.int32)
    plain = judge(model, NextClicks(offsets, items, np.array([5, 8, -1])))
    seen = judge(model, NextClicks(offsets, items, np.array([5, 8, -1]), "seen"))
    assert plain["hr@20"] > 0
    assert seen["hr@20"] == 0


def test_a_sample_leaves_out_what_cannot_count_and_is_drawn_by_the_seed() -> None:
    offsets, items = np.array([0, 2, 2, 3, 5]), np.array([1, 2, 3, 4, 5], np.int32)
    queries = NextClicks(offsets, items, np.array([2, 9, 4, 6]), "current")
    kept = sample(queries, seed=0)
    assert kept.targets.tolist() == [4, 6]  # the first repeats the newest click, the second has no prefix
    assert kept.items.tolist() == [3, 4, 5]
    assert kept.offsets.tolist() == [0, 1, 3]
    assert sample(queries, seed=4, queries_max=1).targets.tolist() == sample(queries, 4, 1).targets.tolist()
