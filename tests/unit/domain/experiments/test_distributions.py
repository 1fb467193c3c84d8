"""Tails and quantiles against SciPy's, which the stream's environment does not have: its numbers stand here."""

from __future__ import annotations

import pytest

from domain.experiments.distributions import chi_square_tail, normal_quantile, t_quantile, t_two_sided


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),
    [
        (0.975, 1, 12.706204736174694),
        (0.975, 3, 3.1824463052837078),
        (0.975, 30, 2.0422724563012378),
        (0.975, 4321.5, 1.960513081959134),
        (0.999, 2.5, 13.82219311086596),
        (0.975, 1e7, 1.959963984540054),
    ],
)
def test_quantiles_of_students_t(probability: float, freedom: float, expected: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("t", "freedom", "expected"),
    [
        (0.0, 7, 1.0),
        (0.1, 1, 0.936548965138893),
        (-2.0, 3, 0.13932596855884305),
        (2.0, 30, 0.054625044962983094),
        (5.0, 1_000, 6.767256364648635e-07),
        (12.0, 50_000, 3.945977891710269e-33),
        (1.96, 1e7, 0.04999579029644087),
    ],
)
def test_two_sided_tails_of_students_t(t: float, freedom: float, expected: float) -> None:
    assert t_two_sided(t, freedom) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("statistic", "freedom", "expected"),
    [
        (0.0, 1, 1.0),
        (3.84, 1, 0.05004352124870519),
        (16.0, 1, 6.334248366623988e-05),
        (10.0, 3, 0.01856613546304325),
        (3.0, 7, 0.8850022316431506),
        (1_000.0, 3, 1.7994208765314067e-216),
    ],
)
def test_tails_of_chi_square(statistic: float, freedom: int, expected: float) -> None:
    assert chi_square_tail(statistic, freedom) == pytest.approx(expected, rel=1e-9)


def test_quantiles_of_the_normal_distribution() -> None:
    assert normal_quantile(0.975) == pytest.approx(1.959963984540054)
