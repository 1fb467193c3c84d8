"""An interval that is valid however often one looks, and whenever one stops: the mixture SPRT.

The likelihood ratio of "the arms differ by d" to "they do not", mixed over d from a normal distribution with variance
tau^2, is a martingale while they do not: it ever reaches 1 / alpha with a probability of at most alpha (Ville). With V
the variance of the estimated difference D,

    ratio = sqrt(V / (V + tau^2)) exp(tau^2 D^2 / (2 V (V + tau^2))),

and the differences for which it stays below 1 / alpha are

    D +- sqrt(V (V + tau^2) / tau^2 (2 ln(1 / alpha) + ln((V + tau^2) / V))).

(Robbins, "Statistical methods related to the law of the iterated logarithm", 1970; Johari, Koomen, Pekelis and Walsh,
"Always Valid Inference: Continuous Monitoring of A/B Tests", Operations Research 2022; the same boundary is the
two-sided normal mixture of Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric, nonasymptotic
confidence sequences", Annals of Statistics 2021.) V is estimated, so it holds for means that are nearly normal: not
before `UNITS_MIN` visitors are in each arm.
"""

from __future__ import annotations

import math
from typing import Final

from domain.experiments.statistics import ALPHA, Comparison, Sample, lift_of, unknown

UNITS_MIN: Final = 100
"""Visitors in an arm below which nothing is said."""


def always_valid(control: Sample, treatment: Sample, effect: float, alpha: float = ALPHA) -> Comparison:
    """Treatment minus control, and the p-value of this look.

    `effect` is the relative change for which the interval is made narrowest, chosen before; tau is that share of the
    control's mean. Another choice is as valid, and slower.
    """
    variance = control.variance_of_mean + treatment.variance_of_mean
    mixture = (effect * control.mean) ** 2
    too_few = min(control.count, treatment.count) < UNITS_MIN
    if too_few or not (0 < variance < math.inf and 0 < mixture < math.inf):
        return unknown(control, treatment)
    difference, total = treatment.mean - control.mean, variance + mixture
    log_ratio = mixture * difference**2 / (2 * variance * total) - math.log(total / variance) / 2
    half = math.sqrt(variance * total / mixture * (2 * math.log(1 / alpha) + math.log(total / variance)))
    p_value = min(1.0, math.exp(-min(log_ratio, 700.0)))
    return Comparison(difference, difference - half, difference + half, p_value, lift_of(control, treatment))
