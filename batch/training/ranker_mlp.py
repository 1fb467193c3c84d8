"""A small network that ranks the candidates of the sources: an alternative to the trees, from the same questions.

Listwise: the softmax over the candidates of a question shall be that of their labels (ListNet's top-one loss: Cao, Qin,
Liu, Tsai and Li, ICML 2007). `fit` and `judge_by_halves` are those of `batch.ranking.ranker`, with epochs for trees,
so either may rank, whichever the halves say is better.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from batch.ranking.measures import measure
from batch.ranking.ranker import Examples
from domain.recommenders.lineup.queries import Ids
from domain.recommenders.mlp import Mlp

if TYPE_CHECKING:
    import torch

BOUNDS: Final = (0.001, 0.999)
"""Shares of the rows between which a feature is taken as it is."""
ROWS_PROBED: Final = 200_000
"""About so many rows say what the bounds are."""

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class MlpPolicy:
    """Frozen parameters of one training: the same policy and examples give the same network."""

    wide: int = 64
    narrow: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    dropout: float = 0.1
    questions_per_batch: int = 64
    checkpoints: tuple[int, ...] = (2, 4, 6, 9, 12, 16)  # epochs
    seed: int = 1
    threads: int = 1

    def __post_init__(self) -> None:
        sizes = (self.wide, self.narrow, self.questions_per_batch, self.threads, *self.checkpoints)
        if not self.checkpoints or min(sizes) < 1 or list(self.checkpoints) != sorted(set(self.checkpoints)):
            raise ValueError(f"sizes must be above 0, and the checkpoints must ascend in {self}")
        if not (self.learning_rate > 0 and 0 <= self.dropout < 1 and self.weight_decay >= 0):
            raise ValueError(f"there is a rate out of its range in {self}")


@dataclass(frozen=True, slots=True, eq=False)
class JudgedMlp:
    """What the halves said: how many epochs, and the answers by networks that had not seen the question."""

    epochs: int
    ranked: Ids  # [questions, K]
    by_epochs: dict[int, float]

    @property
    def score(self) -> float:
        """The `Measured.score` of the answers."""
        return self.by_epochs[self.epochs]


def judge_by_halves(examples: Examples, policy: MlpPolicy, seconds_max: float = math.inf) -> JudgedMlp:
    """Fit on each half of the owners, judge on the other: the halves that the trees of the same seed are judged by.

    When the time is up, what counts is as far as both halves came, at least to the first checkpoint. Raises
    `ValueError` when a half teaches nothing.
    """
    until = time.perf_counter() + seconds_max / 2
    owners = np.unique(examples.questions.owners)
    half = np.random.default_rng(policy.seed).permutation(owners)[: len(owners) // 2]
    is_first = np.isin(examples.questions.owners, half)
    row_is_first = np.repeat(is_first, np.diff(examples.offsets))
    scores = {epochs: np.zeros(len(examples.items)) for epochs in policy.checkpoints}
    reached = policy.checkpoints[-1]
    for learns, asked in ((is_first, ~row_is_first), (~is_first, row_is_first)):
        for epochs, network in _trained(examples, learns, policy, policy.checkpoints):
            scores[epochs][asked] = network.scores(examples.rows[asked])
            if epochs >= reached or time.perf_counter() > until:
                reached = epochs
                break
        until += seconds_max / 2
    ranked = {epochs: examples.ranked(each) for epochs, each in scores.items() if epochs <= reached}
    means = {epochs: measure(each, examples.questions).score for epochs, each in ranked.items()}
    best = max(means, key=lambda epochs: (round(means[epochs], 4), -epochs))
    return JudgedMlp(best, ranked[best], {epochs: round(mean, 4) for epochs, mean in means.items()})


def fit(examples: Examples, policy: MlpPolicy, epochs: int) -> Mlp:
    """A network of all questions. Raises `ValueError` when they teach nothing."""
    everyone = np.ones(len(examples.questions), bool)
    return list(_trained(examples, everyone, policy, (epochs,)))[-1][1]


def _trained(
    examples: Examples, learns: Bools, policy: MlpPolicy, checkpoints: Sequence[int]
) -> Iterator[tuple[int, Mlp]]:
    """The network after each of the checkpoints; the learning rate falls to nothing at the last one."""
    import torch

    chosen = np.flatnonzero(learns & examples.can_teach)
    if not len(chosen):
        raise ValueError("no question of this half has its answer among the candidates")
    standard = _standard(examples, chosen)
    inputs = ((np.clip(examples.rows, *standard[:2]) - standard[2]) / standard[3]).astype(np.float32)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(policy.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(policy.seed)
            yield from _epochs(examples, inputs, chosen, policy, checkpoints, standard)
    finally:
        torch.set_num_threads(threads_before)


def _epochs(
    examples: Examples,
    inputs: Floats,
    chosen: npt.NDArray[np.int64],
    policy: MlpPolicy,
    checkpoints: Sequence[int],
    standard: tuple[Floats, ...],
) -> Iterator[tuple[int, Mlp]]:
    import torch

    network = _network(len(examples.names), policy)
    optimiser = torch.optim.AdamW(network.parameters(), policy.learning_rate, weight_decay=policy.weight_decay)
    batches = -(-len(chosen) // policy.questions_per_batch)
    steps = batches * max(checkpoints)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(1 - step / steps, 0.01))
    generator = np.random.default_rng(policy.seed)
    for epoch in range(1, max(checkpoints) + 1):
        network.train()
        for some in np.array_split(generator.permutation(chosen), batches):
            optimiser.zero_grad()
            _loss(network, examples, inputs, some).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        if epoch in checkpoints:
            yield epoch, _exported(network, examples.names, standard)


def _network(features: int, policy: MlpPolicy) -> torch.nn.Sequential:
    from torch import nn

    return nn.Sequential(
        nn.Linear(features, policy.wide),
        nn.ReLU(),
        nn.Dropout(policy.dropout),
        nn.Linear(policy.wide, policy.narrow),
        nn.ReLU(),
        nn.Linear(policy.narrow, 1, bias=False),
    )


def _loss(
    network: torch.nn.Sequential, examples: Examples, inputs: Floats, some: npt.NDArray[np.int64]
) -> torch.Tensor:
    """The mean over questions of the cross-entropy between labels, as shares, and the softmax of the scores."""
    import torch

    starts, counts = examples.offsets[some], np.diff(examples.offsets)[some]
    places = np.arange(counts.max())
    is_row = places < counts[:, None]  # [questions, most candidates]
    rows = np.where(is_row, starts[:, None] + places, 0)
    labels = np.where(is_row, examples.labels[rows], 0).astype(np.float32)
    scores = torch.full(rows.shape, -torch.inf)
    scores[torch.from_numpy(is_row)] = network(torch.from_numpy(inputs[rows[is_row]]))[:, 0]
    wanted = torch.from_numpy(labels / labels.sum(axis=1, keepdims=True))
    logs = torch.log_softmax(scores, dim=1).masked_fill(torch.from_numpy(~is_row), 0.0)
    return -(wanted * logs).sum(dim=1).mean()


def _standard(examples: Examples, chosen: npt.NDArray[np.int64]) -> tuple[Floats, Floats, Floats, Floats]:
    """Bounds, mean and scale of each feature [features] over the rows that are learnt from."""
    rows = np.repeat(np.isin(np.arange(len(examples.questions)), chosen), np.diff(examples.offsets))
    learnt = examples.rows[rows]
    step = -(-len(learnt) // ROWS_PROBED)
    low, high = np.quantile(learnt[::step], BOUNDS, axis=0).astype(np.float32)
    inside = np.clip(learnt, low, high)
    deviation = inside.std(axis=0, dtype=np.float64)
    scale = np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)
    return low, high, inside.mean(axis=0, dtype=np.float64).astype(np.float32), scale


def _exported(network: torch.nn.Sequential, names: tuple[str, ...], standard: tuple[Floats, ...]) -> Mlp:
    layers: list[Any] = [each.detach().numpy().copy() for each in network.parameters()]
    first, first_bias, second, second_bias, third = layers
    low, high, mean, scale = standard
    columns = (np.ascontiguousarray(first.T), first_bias, np.ascontiguousarray(second.T), second_bias, third[0])
    return Mlp(names, low, high, mean, scale, *columns)
