"""Off-policy estimates: what another policy would have earned, from what the logged one did and with which probability.

Each logged decision has a reward, the probability with which it was made (its propensity), and the one with which the
other policy would have made it. Their quotient weighs the reward. The estimates hold where every decision of the other
policy had a chance in the log.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from domain.experiments.distributions import normal_quantile
from domain.experiments.statistics import ALPHA, ratio_sample, sample_of


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean reward with its interval. `effective` is how many decisions, weighed alike, would say as much (Kish)."""

    value: float
    low: float
    high: float
    effective: float


def ips(rewards: ArrayLike, propensities: ArrayLike, targets: ArrayLike, clusters: ArrayLike | None = None) -> Estimate:
    """Inverse propensity scoring: the mean of weight x reward. Unbiased, and wide where weights are large.

    `clusters` numbers whose decisions go together, such as one visitor's; without them all are independent. (Horvitz
    and Thompson, 1952; Bottou et al., "Counterfactual Reasoning and Learning Systems", JMLR 2013.)
    """
    weights = _weights(propensities, targets)
    sums, counts = _by_cluster(weights * np.asarray(rewards, np.float64), np.ones_like(weights), clusters)
    return _estimate(sums, counts, weights)


def snips(
    rewards: ArrayLike, propensities: ArrayLike, targets: ArrayLike, clusters: ArrayLike | None = None
) -> Estimate:
    """Self-normalised: the weighted mean of the rewards, which are never left. Slightly biased, and narrower.

    (Swaminathan and Joachims, "The Self-Normalized Estimator for Counterfactual Learning", NeurIPS 2015; its interval
    by the delta method.)
    """
    weights = _weights(propensities, targets)
    sums, totals = _by_cluster(weights * np.asarray(rewards, np.float64), weights, clusters)
    return _estimate(sums, totals, weights)


def _weights(propensities: ArrayLike, targets: ArrayLike) -> NDArray[np.float64]:
    logged = np.asarray(propensities, np.float64)
    if len(logged) and not (logged.min() > 0 and logged.max() <= 1):
        raise ValueError(f"propensities lie in (0, 1], not from {logged.min()} to {logged.max()}")
    return np.asarray(targets, np.float64) / logged


def _by_cluster(
    above: NDArray[np.float64], below: NDArray[np.float64], clusters: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both summed within each cluster."""
    if clusters is None:
        return above, below
    _, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    return np.bincount(numbers, above).astype(np.float64), np.bincount(numbers, below).astype(np.float64)


def _estimate(above: NDArray[np.float64], below: NDArray[np.float64], weights: NDArray[np.float64]) -> Estimate:
    squared = float((weights**2).sum())
    effective = float(weights.sum()) ** 2 / squared if squared else 0.0
    sample = ratio_sample(above, below) if len(above) else sample_of(above)
    half = normal_quantile(1 - ALPHA / 2) * math.sqrt(sample.variance_of_mean)
    return Estimate(sample.mean, sample.mean - half, sample.mean + half, effective)
