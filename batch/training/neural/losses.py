"""What a network is taught by. Logits are cosines over a temperature: `answers` and `vectors` have length 1.

- Cross-entropy over all items, or over drawn ones with the logQ correction: Bengio and Senecal, IEEE Trans. Neural
  Networks 19, 2008; Yi et al., "Sampling-Bias-Corrected Neural Modeling", RecSys 2019. The target is always in the sum
  and stays uncorrected; a drawn item stands for 1 / (draws * share) items.
- BPR-max: Hidasi and Karatzoglou, "Recurrent Neural Networks with Top-k Gains", CIKM 2018, equation 11.
- gBCE: Petrov and Macdonald, "gSASRec", RecSys 2023, equations 8 and 9; negatives are drawn evenly.
"""

from __future__ import annotations

import math
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
    if policy.loss == "cross-entropy":
        return _softmax(answers, vectors, positive, targets, drawn, policy)
    assert drawn is not None, "only the cross-entropy goes over all items"
    negative = answers @ functional.embedding(drawn.items, vectors).T / policy.temperature
    is_target = drawn.items[None] == targets.items[:, None]
    if policy.loss == "bpr-max":
        losses = _bpr_max(positive, negative, is_target, policy.bpr_regularisation)
    else:
        losses = _gbce(positive, negative, is_target, drawn, policy.gbce_calibration)
    return (losses * targets.weights).sum() / targets.weights.sum()


def _softmax(
    answers: Tensor, vectors: Tensor, positive: Tensor, targets: Targets, drawn: Drawn | None, policy: NeuralPolicy
) -> Tensor:
    smoothing, weights = policy.label_smoothing, targets.weights
    scaled = answers / policy.temperature
    wanted = positive
    if smoothing:  # over the drawn items, or all, evenly
        others = vectors if drawn is None else functional.embedding(drawn.items, vectors)
        wanted = (1 - smoothing) * positive + smoothing * (scaled @ others.mean(0))
    if drawn is None:
        logs = _WeightedLogSums.apply(scaled, vectors, weights, None, None)
    else:
        of_drawn = functional.embedding(drawn.items, vectors)
        logs = _WeightedLogSums.apply(scaled, of_drawn, weights, positive, _Corrected.of(drawn, targets))
    summed: Tensor = logs - (wanted * weights).sum()
    return summed / weights.sum()


@dataclass(frozen=True, slots=True)
class _Corrected:
    """What makes a sum over drawn items stand for one over all: see the module's docstring."""

    offsets: Tensor  # [draws], added to the logits
    drawn: Tensor  # [draws], int32
    targets: Tensor  # [answers], int32; where a target was drawn, it is not counted again

    @classmethod
    def of(cls, drawn: Drawn, targets: Targets) -> _Corrected:
        offsets = -(drawn.log_shares + math.log(len(drawn.items)))
        return cls(offsets, drawn.items.int(), targets.items.int())


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

    No logits are kept, and each is read a few times only: they are at most 1 / temperature (and a correction), so exp
    needs no maximum. With `corrected`, the sum is over drawn items and the `positive` logit.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scaled: Tensor,
        vectors: Tensor,
        weights: Tensor,
        positive: Tensor | None,
        corrected: _Corrected | None,
    ) -> Tensor:
        of_scaled, of_vectors = torch.empty_like(scaled), torch.zeros_like(vectors)
        of_positive = None if positive is None else positive.exp()
        total = torch.zeros(())
        for start in range(0, len(scaled), ROWS_TOGETHER):
            rows = slice(start, start + ROWS_TOGETHER)
            some, weight = scaled[rows], weights[rows, None]
            powers = some @ vectors.T  # [answers, items]
            if corrected is not None:
                powers += corrected.offsets
            powers.exp_()
            if corrected is not None:
                powers.masked_fill_(corrected.drawn == corrected.targets[rows, None], 0.0)
            sums = powers.sum(1, keepdim=True)
            if of_positive is not None:
                sums += of_positive[rows, None]
                of_positive[rows] *= (weight / sums)[:, 0]
            total += (sums.log() * weight).sum()
            powers.mul_(weight / sums)
            of_scaled[rows] = powers @ vectors
            of_vectors.addmm_(powers.T, some)
        ctx.save_for_backward(of_scaled, of_vectors, of_positive)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        of_scaled, of_vectors, of_positive = ctx.saved_tensors
        given = None if of_positive is None else of_positive * outer[0]
        return of_scaled * outer[0], of_vectors * outer[0], None, given, None
