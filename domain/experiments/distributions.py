"""The tails and quantiles that the tests need, so that `domain` needs no SciPy."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

_TINY: Final = 1e-300
_PRECISE: Final = 1e-14
_TERMS_MAX: Final = 10_000
_STEPS_MAX: Final = 200
_NORMAL_FROM: Final = 1e6
"""Degrees of freedom from which Student's t is the normal distribution, to seven digits."""


def normal_quantile(probability: float) -> float:
    """The standard normal quantile."""
    return NormalDist().inv_cdf(probability)


def t_two_sided(t: float, freedom: float) -> float:
    """The probability that Student's t with these degrees of freedom is at least as far from 0."""
    if freedom >= _NORMAL_FROM:
        return math.erfc(abs(t) / math.sqrt(2))
    return beta_share(freedom / 2, 0.5, freedom / (freedom + t * t))


def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t for a probability above one half.

    By Newton's method: the tail is convex and falls, and the normal quantile lies to the left, so no step overshoots.
    """
    t = normal_quantile(probability)
    if freedom >= _NORMAL_FROM:
        return t
    log_front = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    for _ in range(_STEPS_MAX):
        density = math.exp(log_front - (freedom + 1) / 2 * math.log1p(t * t / freedom))
        step = (t_two_sided(t, freedom) / 2 - (1 - probability)) / density
        t += step
        if abs(step) < 1e-12 * t:
            break
    return t


def chi_square_tail(statistic: float, freedom: int) -> float:
    """The probability that chi-square with these degrees of freedom is at least the statistic."""
    return gamma_tail(freedom / 2, statistic / 2)


def gamma_tail(shape: float, x: float) -> float:
    """The regularised upper incomplete gamma function Q(shape, x).

    Its series below shape + 1, its continued fraction above. (Press et al., "Numerical Recipes", 3rd ed., 6.2.)
    """
    if x <= 0:
        return 1.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        for number in range(1, _TERMS_MAX):
            term *= x / (shape + number)
            total += term
            if term < total * _PRECISE:
                break
        return max(0.0, 1 - front * total)
    b, c = x + 1 - shape, 1 / _TINY
    d = fraction = 1 / b
    for number in range(1, _TERMS_MAX):
        step = -number * (number - shape)
        b += 2
        d = 1 / _apart(step * d + b)
        c = _apart(b + step / c)
        fraction *= d * c
        if abs(d * c - 1) < _PRECISE:
            break
    return front * fraction


def beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b). (Press et al., "Numerical Recipes", 3rd ed., 6.4.)"""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    front = math.exp(log_front)
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, 1 - x) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    """The continued fraction of I_x, by Lentz's method."""
    c, d = 1.0, 1 / _apart(1 - (a + b) * x / (a + 1))
    fraction = d
    for m in range(1, _TERMS_MAX):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / _apart(1 + step * d)
            c = _apart(1 + step / c)
            fraction *= d * c
        if abs(d * c - 1) < _PRECISE:
            break
    return fraction


def _apart(number: float) -> float:
    """The number, but never 0."""
    return number if abs(number) > _TINY else _TINY
