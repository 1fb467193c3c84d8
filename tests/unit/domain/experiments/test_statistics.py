"""The tests of arms, tested on worlds of which the truth is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.experiments.statistics import (
    Sample,
    adjusted,
    ratio_sample,
    sample_of,
    visitors_needed,
    welch,
)
from domain.experiments.statistics_ratio import check_ratio
from domain.experiments.statistics_sequential import UNITS_MIN, always_valid

RATE = 0.1
RUNS = 1_000


def of_rate(count: int, successes: int) -> Sample:
    """The sample of so many visitors, of whom so many converted."""
    mean = successes / count
    return Sample(count, mean, mean * (1 - mean) * count / (count - 1))


@dataclass(frozen=True)
class Peeks:
    """Two arms of visitors who convert or not, as they stand at each of some looks, in many runs."""

    counts: NDArray[np.int64]  # [looks]
    control: NDArray[np.int64]  # [runs, looks]
    treatment: NDArray[np.int64]  # [runs, looks]

    def samples(self, run: int, look: int) -> tuple[Sample, Sample]:
        count = int(self.counts[look])
        return of_rate(count, int(self.control[run, look])), of_rate(count, int(self.treatment[run, look]))


def world(seed: int, *, visitors: int, looks: int, lift: float = 0.0, runs: int = RUNS) -> Peeks:
    draws, each = np.random.default_rng(seed), visitors // looks
    rates = (RATE, RATE * (1 + lift))
    control, treatment = (draws.binomial(each, rate, (runs, looks)).cumsum(axis=1) for rate in rates)
    return Peeks(np.arange(1, looks + 1) * each, control, treatment)


def test_welchs_test_is_the_known_one() -> None:
    found = welch(sample_of([1.0, 2.0, 3.0, 4.0, 5.0]), sample_of([2.0, 4.0, 6.0, 8.0, 10.0, 12.0]))
    assert found.difference == pytest.approx(4.0)
    assert found.p_value == pytest.approx(0.04928433820673053)  # scipy.stats.ttest_ind(equal_var=False)
    assert found.lift == pytest.approx(4 / 3)
    assert found.is_significant
    assert not welch(sample_of([1.0, 2.0, 3.0]), sample_of([1.0, 2.0, 4.0])).is_significant


def test_of_a_thousand_tests_without_a_difference_one_in_twenty_is_a_false_alarm() -> None:
    """Exactly alpha of them, give or take: within three standard errors of a share of 1,000."""
    over = world(1, visitors=2_000, looks=1)
    alarms = sum(welch(*over.samples(run, 0)).is_significant for run in range(RUNS))
    assert abs(alarms - 50) <= 3 * math.sqrt(RUNS * 0.05 * 0.95)


def test_looking_again_and_again_never_alarms_falsely_more_often_than_alpha() -> None:
    over = world(2, visitors=5_000, looks=25)
    always = tested = 0
    for run in range(RUNS):
        seen = [over.samples(run, look) for look in range(25)]
        always += any(always_valid(*each, effect=0.1).is_significant for each in seen)
        z = [(b.mean - a.mean) / math.sqrt(a.variance_of_mean + b.variance_of_mean) for a, b in seen]
        tested += max(map(abs, z)) > 1.96
    assert always <= 0.05 * RUNS
    assert tested > 0.15 * RUNS, "what the test of one look does when one looks so often"


def test_a_planted_lift_is_found_as_often_as_planned() -> None:
    visitors = visitors_needed(of_rate(1_000, 100), effect=0.1)
    assert 14_000 < visitors < 15_000
    over = world(3, visitors=visitors, looks=1, lift=0.1, runs=500)
    found = sum(welch(*over.samples(run, 0)).low > 0 for run in range(500))
    assert found / 500 > 0.8 - 3 * math.sqrt(0.8 * 0.2 / 500)


def test_with_twice_the_visitors_one_may_look_at_any_time_and_finds_it_as_often_and_mostly_sooner() -> None:
    visitors = 2 * visitors_needed(of_rate(1_000, 100), effect=0.1)
    over = world(4, visitors=visitors, looks=20, lift=0.1, runs=300)
    first = [
        next((look for look in range(20) if always_valid(*over.samples(run, look), effect=0.1).low > 0), None)
        for run in range(300)
    ]
    stops = [look for look in first if look is not None]
    assert len(stops) / 300 >= 0.8
    assert np.median(stops) < 14


def test_the_always_valid_interval_covers_the_planted_difference_at_every_look() -> None:
    over = world(5, visitors=10_000, looks=20, lift=0.1, runs=300)
    missed = 0
    for run in range(300):
        intervals = [always_valid(*over.samples(run, look), effect=0.1) for look in range(20)]
        missed += any(not each.low <= 0.01 <= each.high for each in intervals)
    assert missed / 300 <= 0.05


def test_nothing_is_said_before_there_is_something_to_say() -> None:
    few = of_rate(UNITS_MIN - 1, 10)
    assert always_valid(few, of_rate(1_000, 900), effect=0.1).p_value == 1
    assert always_valid(of_rate(1_000, 0), of_rate(1_000, 500), effect=0.1).high == math.inf
    assert welch(sample_of([1.0]), sample_of([2.0, 3.0])).low == -math.inf
    assert welch(sample_of([]), sample_of([])).lift is None
    assert visitors_needed(sample_of([0.0, 0.0]), effect=0.1) == 0


def test_the_ratio_of_sums_varies_as_its_simulation_does() -> None:
    """Visitors differ in how much they see and in how much they click: clicks of one visitor are not independent."""
    draws = np.random.default_rng(6)
    ratios, errors = [], []
    for _ in range(400):
        shown = draws.poisson(20, 500) + 1
        clicks = draws.binomial(shown, draws.beta(1, 9, 500))
        found = ratio_sample(clicks, shown)
        ratios.append(found.mean)
        errors.append(math.sqrt(found.variance_of_mean))
    assert np.mean(errors) == pytest.approx(np.std(ratios), rel=0.1)
    independent = math.sqrt(0.1 * 0.9 / (500 * 21))
    assert np.mean(errors) > 1.3 * independent


def test_a_split_of_52_to_48_is_alarming_and_a_fair_one_is_not() -> None:
    assert check_ratio([5_200, 4_800], [0.5, 0.5]).is_alarming
    assert not check_ratio([5_050, 4_950], [0.5, 0.5]).is_alarming
    assert check_ratio([10_400, 9_600], [0.5, 0.5]).sequential_p_value < 0.001
    assert check_ratio([900, 100, 0], [0.8, 0.1, 0.1]).is_alarming
    assert check_ratio([0, 0], [0.5, 0.5]).p_value == 1


def test_a_fair_lot_that_is_watched_for_ever_hardly_ever_alarms() -> None:
    draws = np.random.default_rng(7)
    runs = 400
    arms = draws.binomial(200, 0.3, (runs, 20)).cumsum(axis=1)
    totals = np.arange(1, 21) * 200
    alarms = 0
    for run in range(runs):
        counts = zip(arms[run].tolist(), totals.tolist(), strict=True)
        alarms += any(check_ratio([one, total - one], [0.3, 0.7]).is_alarming for one, total in counts)
    assert alarms <= 0.01 * runs


def test_several_treatments_are_held_to_more() -> None:
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([0.6, 0.9]) == [1.0, 1.0]
    assert adjusted([]) == []
