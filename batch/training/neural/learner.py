"""One network with its item vectors while it learns: what happens in a step and in an epoch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from batch.training.neural.batches import Batch, Pieces
from batch.training.neural.contract import NeuralPolicy
from batch.training.neural.item_table import BETAS, ItemTable
from batch.training.neural.losses import Drawn, Targets, loss_of
from batch.training.neural.networks import Network, network_of
from batch.training.neural.start import Floats
from domain.recommenders.neural import UNTRAINED_BIAS, NeuralSessionModel
from domain.recommenders.neural_encoders import EncoderShape
from domain.recommenders.session_log import SessionLog

PROBED_FIRST: Final = 3
"""Batches that are not timed: the first ones allocate."""
MASKED_SHARE: Final = 0.3
"""Of the clicks of a BERT4Rec piece; every other piece has only its newest masked, as when it is asked."""


@contextmanager
def threads_set(count: int) -> Iterator[None]:
    """Let torch use so many threads, and its random numbers be its own again, until the end of the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def products_in_bfloat16(*, wanted: bool) -> Iterator[None]:
    """Let matrix products round their inputs to bfloat16 where that is quicker; sums and results stay float32.

    Two to four times quicker with AMX, and unlike autocast it does not round the logits.
    """
    matmul = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16" if wanted else before
    try:
        yield
    finally:
        matmul.fp32_precision = before


class Learner:
    """Not thread-safe: dropout and masks draw from torch's global generator, which `fresh` seeds."""

    def __init__(self, policy: NeuralPolicy, network: Network, table: ItemTable, clicks: Tensor) -> None:
        self.policy = policy
        self.network = network
        self._table = table
        self._clicks = clicks  # [items], in the log
        self._generator = np.random.default_rng(policy.seed)
        self.steps = 0
        self._optimiser = torch.optim.AdamW(
            network.parameters(), policy.learning_rate, BETAS, weight_decay=policy.weight_decay, foreach=True
        )
        exponent = 0.0 if policy.loss == "gbce" else policy.negatives_exponent
        shares = torch.where(clicks > 0, clicks.clamp(min=1) ** exponent, 0.0)
        self._log_shares = torch.log(shares / shares.sum()).float()
        self._until = torch.cumsum(shares / shares.sum(), 0)  # float64, for draws by bisection
        is_cheap = float(clicks.sum()) * len(clicks) <= policy.full_softmax_work_max
        self._is_full = policy.loss == "cross-entropy" and (policy.negatives == 0 or is_cheap)

    @classmethod
    def fresh(cls, log: SessionLog, vectors: Floats, policy: NeuralPolicy) -> Self:
        """A learner at the beginning: its weights follow from the policy's seed."""
        torch.manual_seed(policy.seed)
        shape = EncoderShape(
            kind=policy.encoder,
            dimensions=policy.dimensions,
            clicks_max=policy.clicks_max,
            temperature=policy.temperature,
            heads=1 if policy.encoder == "gru" else policy.heads,
            layers=1 if policy.encoder == "gru" else policy.layers,
        )
        clicks = torch.from_numpy(np.bincount(log.items, minlength=len(vectors)).astype(np.float64))
        return cls(policy, network_of(shape, policy.dropout), ItemTable(torch.from_numpy(vectors.copy())), clicks)

    def epoch(self, pieces: Pieces, steps_planned: int, is_over: Callable[[int], bool]) -> float:
        """Learn from every piece once, or until `is_over` says so of the steps done; the mean loss of a batch."""
        self.network.train()
        losses = []
        with products_in_bfloat16(wanted=self.policy.bfloat16):
            for batch in pieces.batches(self.policy.clicks_per_batch, self._generator):
                if is_over(self.steps):
                    break
                losses.append(self._step(batch, self._learning_rate(steps_planned)))
        return float(np.mean(losses)) if losses else 0.0

    def probe(self, pieces: Pieces, batches: int) -> float:
        """Seconds a batch takes; the learner has learnt from them, so throw it away."""
        self.network.train()
        spent = []
        epoch = pieces.batches(self.policy.clicks_per_batch, self._generator)
        with products_in_bfloat16(wanted=self.policy.bfloat16):
            for batch in itertools.islice(epoch, PROBED_FIRST + batches):
                began = time.perf_counter()
                self._step(batch, self.policy.learning_rate)
                spent.append(time.perf_counter() - began)
        return float(np.mean(spent[PROBED_FIRST:] or spent or [0.0]))

    def model(self) -> NeuralSessionModel:
        """What has been learnt so far, without torch."""
        trained = self._clicks > 0
        vectors = functional.normalize(self._table.vectors, dim=-1) * trained[:, None]
        biases = np.where(trained.numpy(), np.float32(0), UNTRAINED_BIAS)
        return NeuralSessionModel(vectors.float().numpy().copy(), biases, self.network.shape, self.network.arrays())

    def _learning_rate(self, steps_planned: int) -> float:
        policy = self.policy
        self.steps += 1
        warm = min(1.0, self.steps / max(min(policy.warm_up_steps, steps_planned // 10), 1))
        left = max(1 - self.steps / max(steps_planned, 1), 0.0)
        return policy.learning_rate * warm * (policy.final_learning_rate + (1 - policy.final_learning_rate) * left)

    def _step(self, batch: Batch, learning_rate: float) -> float:
        items, is_click = torch.from_numpy(batch.items), torch.from_numpy(batch.is_click)
        masked = self._masked(is_click) if self.policy.encoder == "bert4rec" else None
        if masked is None:
            given, seen = items[:, :-1], is_click[:, 1:]  # of the clicks that have a next one
            wanted, asked = items[:, 1:], is_click[:, 1:]
        else:
            given, seen, wanted, asked = items, is_click, items, masked
        goals = wanted[asked]
        weights = torch.from_numpy(batch.weights)[:, None].expand(asked.shape)[asked]
        rows, placed, drawn = self._rows(given, goals)
        taken = self._table.take(rows)
        vectors = functional.normalize(taken, dim=-1)
        clicks = functional.embedding(placed[0], vectors) * self.policy.dimensions**0.5
        if masked is not None:
            clicks = torch.where(masked[:, :, None], self.network["mask"], clicks)
        answers = self.network(clicks, seen)[asked]
        loss = loss_of(answers, vectors, Targets(placed[1], weights), drawn, self.policy)
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        item_rate = 1.0 if rows is None else self.policy.touched_items_rate
        self._table.update(rows, taken, learning_rate * item_rate)
        return float(loss.detach())

    def _rows(self, given: Tensor, goals: Tensor) -> tuple[Tensor | None, tuple[Tensor, Tensor], Drawn | None]:
        """Which item vectors the step needs, and where the given, the wanted and the drawn lie among them."""
        if self._is_full:
            return None, (given, goals), None
        draws = torch.rand(self.policy.negatives, dtype=torch.float64) * self._until[-1]
        negatives = torch.searchsorted(self._until, draws).clamp(max=len(self._clicks) - 1)
        rows, places = torch.unique(torch.cat((given.reshape(-1), goals, negatives)), return_inverse=True)
        of_given, of_goals, of_drawn = places.split([given.numel(), len(goals), len(negatives)])
        drawn = Drawn(of_drawn, self._log_shares[negatives], int((self._clicks > 0).sum()))
        return rows, (of_given.view(given.shape), of_goals), drawn

    def _masked(self, is_click: Tensor) -> Tensor:
        """Which clicks of BERT4Rec pieces are hidden and asked for: at least the newest of each piece."""
        newest = is_click & ~functional.pad(is_click[:, 1:], (0, 1))
        alone = torch.rand(len(is_click), 1) < 0.5
        return newest | (is_click & (torch.rand(is_click.shape) < MASKED_SHARE) & ~alone)
