"""Train a neural session model on a log, or go on training one on a newer log.

With a validation the epoch of the best HR@20 + MRR@20 is kept, and training stops after `patience` epochs without a
better one. `minutes_max` is turned into a number of epochs (or, below one epoch, of newest sessions) by timing a few
batches before the training starts. When the machine gets slower than it was then, training stops in the middle of its
plan. The policy that comes back says what was chosen, and where it stopped, and trains the same model anywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from batch.training.neural import start
from batch.training.neural.batches import Pieces, newest
from batch.training.neural.contract import NeuralPolicy, NextClicks, Trained
from batch.training.neural.judging import judge, sample
from batch.training.neural.learner import Learner, threads_set
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.session_log import SessionLog

PROBED_BATCHES: Final = 12
SESSIONS_SHARE_MIN: Final = 0.01
"""Of a log, whatever the budget: a model of next to nothing would help nobody."""
STEPS_LEAST: Final = 20
"""Done whatever the clock says."""
Tell = Callable[[str], None]


def _silent(_: str) -> None:
    return None


def train(
    log: SessionLog,
    items_count: int,
    policy: NeuralPolicy,
    validation: NextClicks | None = None,
    minutes_max: float | None = None,
    tell: Tell = _silent,
) -> Trained:
    """Train from vectors that begin where items seen together lie together; see the module's docstring."""
    began = time.perf_counter()
    with threads_set(policy.threads):
        vectors = start.item_vectors(log, items_count, policy.dimensions, policy.seed)
        tell(f"item vectors from co-visitation in {time.perf_counter() - began:.1f} s")

        def learner_of(chosen: NeuralPolicy) -> Learner:
            return Learner.fresh(log, vectors, chosen)

        return _Training(log, policy, learner_of, validation, tell, began).run(minutes_max)


def continue_on(
    model: NeuralSessionModel,
    log: SessionLog,
    policy: NeuralPolicy,
    validation: NextClicks | None = None,
    minutes_max: float | None = None,
    tell: Tell = _silent,
) -> Trained:
    """Go on from a model on a log that contains newer sessions; the catalogue may have grown at its end.

    Items that the model did not know begin at the mean of the items seen near them. `policy_to_continue` makes the
    policy. Raises `ValueError` when the policy's encoder is of another shape than the model's.
    """
    shape = model.shape
    if (policy.encoder, policy.dimensions, policy.clicks_max) != (shape.kind, shape.dimensions, shape.clicks_max):
        raise ValueError(f"a model of shape {shape} cannot go on by {policy}")
    began = time.perf_counter()
    items_count = max(model.items_count, int(log.items.max(initial=-1)) + 1)
    vectors = np.zeros((items_count, policy.dimensions), np.float32)
    vectors[: model.items_count] = model.vectors
    missing = np.flatnonzero(~vectors.any(axis=1))
    with threads_set(policy.threads):
        vectors = start.from_neighbours(vectors, missing, log)
        tell(f"{len(missing)} items that the model did not know begin at their neighbours")

        def learner_of(chosen: NeuralPolicy) -> Learner:
            learner = Learner.fresh(log, vectors, chosen)
            learner.network.take(model.arrays)
            return learner

        return _Training(log, policy, learner_of, validation, tell, began).run(minutes_max)


def policy_to_continue(policy: NeuralPolicy, epochs: int = 2) -> NeuralPolicy:
    """How to go on after a training by `policy`: few epochs over all sessions, at a smaller rate."""
    return replace(policy, epochs=epochs, learning_rate=policy.learning_rate / 3, sessions_max=0, steps_max=0)


@dataclass(slots=True)
class _Training:
    """One run: what it learns from, and what it has reached so far."""

    log: SessionLog
    policy: NeuralPolicy
    learner_of: Callable[[NeuralPolicy], Learner]
    validation: NextClicks | None
    tell: Tell
    began: float
    until: float = field(default=math.inf)  # of `time.perf_counter`
    stopped_at: int = field(default=0)  # steps after which the clock stopped the training
    best: tuple[int, NeuralSessionModel, dict[str, float]] | None = field(default=None)  # epoch, model, metrics

    def run(self, minutes_max: float | None) -> Trained:
        """Fit the policy into the budget, then train."""
        if self.validation is not None:
            self.validation = sample(self.validation, self.policy.seed)
        if minutes_max is not None:
            self._fit_into(minutes_max * 60 - (time.perf_counter() - self.began))
            self.until = self.began + minutes_max * 60
        policy = self.policy
        pieces = Pieces.cut(newest(self.log, policy.sessions_max), policy.clicks_max, policy.recency_half_life_days)
        learner = self.learner_of(policy)
        learning, epoch = 0.0, 0
        planned = policy.epochs * pieces.batches_count(policy.clicks_per_batch)
        while epoch < policy.epochs and not self._is_past_its_best(epoch) and not self._is_over(learner.steps):
            epoch += 1
            epoch_began = time.perf_counter()
            loss = learner.epoch(pieces, planned, self._is_over)
            learning += time.perf_counter() - epoch_began
            self._judge(learner, epoch, loss)
        if self.stopped_at:
            policy = replace(policy, steps_max=self.stopped_at)
        seconds, speed = time.perf_counter() - self.began, learner.steps * policy.clicks_per_batch / max(learning, 1e-9)
        if self.best is None:
            return Trained(learner.model(), policy, epoch, seconds, speed)
        best_epoch, model, metrics = self.best
        return Trained(model, policy, best_epoch, seconds, speed, metrics)

    def _is_past_its_best(self, epoch: int) -> bool:
        return self.best is not None and epoch - self.best[0] >= self.policy.patience

    def _is_over(self, steps: int) -> bool:
        """Whether the policy, or else the clock, stops after so many steps; what the clock did is remembered."""
        if self.policy.steps_max:
            return steps >= self.policy.steps_max
        if steps >= STEPS_LEAST and time.perf_counter() > self.until:
            self.stopped_at = self.stopped_at or steps
        return bool(self.stopped_at)

    def _judge(self, learner: Learner, epoch: int, loss: float) -> None:
        told = f"epoch {epoch} of {self.policy.epochs}: loss {loss:.3f}, {time.perf_counter() - self.began:.0f} s"
        if self.validation is not None:
            model = learner.model()
            metrics = judge(model, self.validation)
            told += f", HR@20 {metrics['hr@20']:.4f}, MRR@20 {metrics['mrr@20']:.4f}"
            if self.best is None or metrics["score"] > self.best[2]["score"]:
                self.best = (epoch, model, metrics)
        self.tell(told)

    def _fit_into(self, seconds: float) -> None:
        """Choose as many epochs, or newest sessions, as this machine does in `seconds`."""
        policy = self.policy
        pieces = Pieces.cut(newest(self.log, policy.sessions_max), policy.clicks_max)
        learner = self.learner_of(policy)
        learning = learner.probe(pieces, PROBED_BATCHES) * pieces.batches_count(policy.clicks_per_batch)
        judging = 0.0
        if self.validation is not None:
            judging_began = time.perf_counter()
            judge(learner.model(), self.validation)
            judging = time.perf_counter() - judging_began
        epochs = int(seconds / max(learning + judging, 1e-9))
        sessions = policy.sessions_max or len(self.log)
        if epochs >= 1:
            self.policy = replace(policy, epochs=min(policy.epochs, epochs))
        else:
            share = max((seconds - judging) / max(learning, 1e-9), SESSIONS_SHARE_MIN)
            self.policy = replace(policy, epochs=1, sessions_max=max(int(share * sessions), 1))
        chosen = self.policy.sessions_max or len(self.log)
        self.tell(f"{self.policy.epochs} epochs over {chosen} sessions fit into {seconds:.0f} s")
