"""Each formula against a value worked out by hand."""

from __future__ import annotations

import math

from domain.rates import critic_score, mean, positive_share, rate_with_prior, shares, trend, weighted_rating


def test_the_mean_of_nothing_is_unknown() -> None:
    assert mean(0, 0) is None
    assert mean(9, 2) == 4.5


def test_a_rate_without_trials_is_its_prior_and_with_many_its_own() -> None:
    assert rate_with_prior(0, 0, 0.05, 100) == 0.05
    assert rate_with_prior(100, 100, 0.05, 100) == 0.525
    assert math.isclose(rate_with_prior(10**9, 10**9, 0.05, 100), 1.0, rel_tol=1e-6)


def test_an_unrated_item_has_the_prior_rating_and_25_votes_move_it_half_way() -> None:
    assert weighted_rating(0, 0) == 3.0
    assert weighted_rating(25 * 5.0, 25) == 4.0


def test_a_positive_share_needs_five_votes() -> None:
    assert positive_share(4, 4) is None
    assert positive_share(3, 5) == 0.6


def test_a_critic_of_twice_the_weight_counts_twice_on_a_scale_of_100() -> None:
    assert critic_score(2 * 5.0 + 1 * 2.0, 3) == 80.0
    assert critic_score(0, 0) is None


def test_an_item_at_its_usual_level_has_no_trend_and_the_first_click_is_no_burst() -> None:
    assert trend(8, 8) == 0
    assert trend(1, 0) == 1
    assert trend(24, 8) == 16 / 3


def test_shares_sum_to_one_or_are_zero() -> None:
    assert shares([1.0, 3.0]) == [0.25, 0.75]
    assert shares([0.0, 0.0]) == [0.0, 0.0]
