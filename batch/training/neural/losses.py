"""What a network is taught by. Logits are cosines over a temperature: `answers` and `vectors` have length 1.

- Cross-entropy over all items, or over drawn ones with the logQ correction: Bengio and Senecal, IEEE Trans. Neural
  Networks 19, 2008; Yi et al., "Sampling-Bias-Corrected Neural Modeling", RecSys 2019. The target is always in the sum
  and stays uncorrected; a drawn item stands for 1 / (draws * share) items.
- BPR-max: Hidasi and Karatzoglou, "Recurrent Neural Networks with Top-k Gains", CIKM 2018, equation 11.
- gBCE: Petrov and Macdonald, "gSASRec", RecSys 2023, equations 8 and 9; negatives are drawn evenly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from batch.training.neural.contract import NeuralPolicy

NEVER = -1e9
ROWS_TOGETHER = 128
"""Answers whose logits over all items are held at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What the answers should have been."""

    items: Tensor  # [answers], places in the vectors
    weights: Tensor  # [answers], float32


@dataclass(frozen=True, slots=True)
class Drawn:
    """Items drawn as negatives for a whole batch."""

    items: Tensor  # [draws], places in the vectors
    log_shares: Tensor  # [draws], log of the probability of one draw
    catalogue: int  # items that could have been drawn


def loss_of(answers: Tensor, vectors: Tensor, targets: Targets, drawn: Drawn | None, policy: NeuralPolicy) -> Tensor:
    """The weighted mean loss of a batch; without `drawn` the cross-entropy over all of `vectors`."""
    positive = (answers * functional.embedding(targets.items, vectors)).sum(-1) / policy.temperature
    if drawn is None:
        return _full_softmax(answers, vectors, positive, targets, policy)
    negative = answers @ functional.embedding(drawn.items, vectors).T / policy.temperature
    is_target = drawn.items[None] == targets.items[:, None]
    if policy.loss == "cross-entropy":
        losses = _sampled_softmax(positive, negative, is_target, drawn)
    elif policy.loss == "bpr-max":
        losses = _bpr_max(positive, negative, is_target, policy.bpr_regularisation)
    else:
        losses = _gbce(positive, negative, is_target, drawn, policy.gbce_calibration)
    return (losses * targets.weights).sum() / targets.weights.sum()


def _full_softmax(answers: Tensor, vectors: Tensor, positive: Tensor, targets: Targets, policy: NeuralPolicy) -> Tensor:
    smoothing, weights = policy.label_smoothing, targets.weights
    wanted = positive
    if smoothing:
        wanted = (1 - smoothing) * positive + smoothing * (answers @ vectors.mean(0)) / policy.temperature
    logs: Tensor = _WeightedLogSums.apply(answers / policy.temperature, vectors, weights)  # type: ignore[no-untyped-call]
    return (logs - (wanted * weights).sum()) / weights.sum()


def _sampled_softmax(positive: Tensor, negative: Tensor, is_target: Tensor, drawn: Drawn) -> Tensor:
    draws = torch.log(torch.tensor(float(len(drawn.items))))
    corrected = (negative - (drawn.log_shares + draws)).masked_fill(is_target, NEVER)
    return torch.logaddexp(positive, torch.logsumexp(corrected, 1)) - positive


def _bpr_max(positive: Tensor, negative: Tensor, is_target: Tensor, regularisation: float) -> Tensor:
    shares = functional.softmax(negative.masked_fill(is_target, NEVER), 1)
    beaten = (shares * torch.sigmoid(positive[:, None] - negative)).sum(1)
    return -torch.log(beaten + 1e-24) + regularisation * (shares * negative.square()).sum(1)


def _gbce(positive: Tensor, negative: Tensor, is_target: Tensor, drawn: Drawn, calibration: float) -> Tensor:
    rate = min(len(drawn.items) / max(drawn.catalogue - 1, 1), 1.0)
    power = rate * (calibration * (1 - 1 / rate) + 1 / rate)
    missed = functional.softplus(negative).masked_fill(is_target, 0.0).sum(1)
    return power * functional.softplus(-positive) + missed


class _WeightedLogSums(torch.autograd.Function):
    """The weighted sum over answers of log(sum over items of exp(logit)); its gradients are found on the way.

    No logits are kept, and each is read three times only: they are at most 1 / temperature, so exp needs no maximum.
    """

    @staticmethod
    def forward(ctx: Any, scaled: Tensor, vectors: Tensor, weights: Tensor) -> Tensor:
        of_scaled, of_vectors = torch.empty_like(scaled), torch.zeros_like(vectors)
        total = torch.zeros(())
        for start in range(0, len(scaled), ROWS_TOGETHER):
            rows = slice(start, start + ROWS_TOGETHER)
            some, weight = scaled[rows], weights[rows, None]
            powers = (some @ vectors.T).exp_()  # [answers, items]
            sums = powers.sum(1, keepdim=True)
            total += (sums.log() * weight).sum()
            powers.mul_(weight / sums)
            of_scaled[rows] = powers @ vectors
            of_vectors.addmm_(powers.T, some)
        ctx.save_for_backward(of_scaled, of_vectors)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        of_scaled, of_vectors = ctx.saved_tensors
        return of_scaled * outer[0], of_vectors * outer[0], None
