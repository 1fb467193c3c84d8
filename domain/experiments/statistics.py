"""Two arms compared: what was measured, whether it differs, and how many visitors that takes.

The unit is the visitor, for visitors are what is drawn by lot. Slates of one visitor are alike, so a test that took
them for independent would find differences where there are none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from domain.experiments.distributions import normal_quantile, t_quantile, t_two_sided

ALPHA: Final = 0.05
"""How often a difference may be found where there is none."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one arm measured: how many visitors, the mean, and the variance of one visitor's value."""

    count: int
    mean: float
    variance: float

    @property
    def variance_of_mean(self) -> float:
        """The square of the standard error."""
        return self.variance / self.count if self.count else math.inf


@dataclass(frozen=True, slots=True)
class Comparison:
    """Treatment minus control, with its interval; `lift` is the difference as a share of the control's mean."""

    difference: float
    low: float
    high: float
    p_value: float
    lift: float | None

    @property
    def is_significant(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.low > 0 or self.high < 0


def sample_of(values: ArrayLike) -> Sample:
    """The sample of one value a visitor."""
    numbers = np.asarray(values, np.float64)
    if len(numbers) < 2:
        return Sample(len(numbers), float(numbers.mean()) if len(numbers) else 0.0, math.inf)
    return Sample(len(numbers), float(numbers.mean()), float(numbers.var(ddof=1)))


def ratio_sample(numerators: ArrayLike, denominators: ArrayLike) -> Sample:
    """The sample of a ratio of sums, such as all clicks by all items shown; one numerator and denominator a visitor.

    By the delta method the ratio varies like the mean of (numerator - ratio x denominator) / mean denominator. (Deng,
    Knoblich and Lu, "Applying the Delta Method in Metric Analytics", KDD 2018, section 3.)
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if not below.sum():
        return Sample(len(below), 0.0, math.inf)
    ratio = float(above.sum() / below.sum())
    spread = sample_of((above - ratio * below) / below.mean())
    return Sample(spread.count, ratio, spread.variance)


def welch(control: Sample, treatment: Sample, alpha: float = ALPHA) -> Comparison:
    """Welch's t-test: valid for one look, at a number of visitors that was chosen before.

    (Welch, "The generalization of Student's problem when several different population variances are involved",
    Biometrika 1947.)
    """
    parts = [control.variance_of_mean, treatment.variance_of_mean]
    error = math.sqrt(sum(parts))
    difference = treatment.mean - control.mean
    if error == 0 or not math.isfinite(error):
        return unknown(control, treatment)
    freedom = error**4 / sum(
        part**2 / (sample.count - 1) for part, sample in zip(parts, (control, treatment), strict=True)
    )
    half = t_quantile(1 - alpha / 2, freedom) * error
    p_value = t_two_sided(difference / error, freedom)
    return Comparison(difference, difference - half, difference + half, p_value, lift_of(control, treatment))


def unknown(control: Sample, treatment: Sample) -> Comparison:
    """What can be said when there is no variance yet: nothing."""
    difference = treatment.mean - control.mean
    return Comparison(difference, -math.inf, math.inf, 1.0, lift_of(control, treatment))


def lift_of(control: Sample, treatment: Sample) -> float | None:
    """The difference as a share of the control's mean; None when that is 0."""
    return (treatment.mean - control.mean) / control.mean if control.mean else None


def visitors_needed(control: Sample, effect: float, power: float = 0.8, alpha: float = ALPHA) -> int:
    """Visitors an arm, of two, for a test of one look to find a relative change with this probability.

    The normal approximation: (z_(1-alpha/2) + z_power)^2 (variance of both) / (effect x mean)^2, where the variance of
    the treatment is taken to grow as its mean does, which is so for counts, and nearly so for small rates.
    """
    sought = effect * control.mean
    if not sought or not math.isfinite(control.variance):
        return 0
    quantiles = normal_quantile(1 - alpha / 2) + normal_quantile(power)
    return math.ceil(quantiles**2 * (2 + effect) * control.variance / sought**2)


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Holm's p-values: with several treatments, none of them is found by having been one of many.

    (Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 1979.)
    """
    order = sorted(range(len(p_values)), key=lambda number: p_values[number])
    found, highest = [0.0] * len(p_values), 0.0
    for rank, number in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[number]))
        found[number] = highest
    return found
