"""Finish functions: means, rates and scores of sums. Formulas stand here once, with their sources."""

from __future__ import annotations

import math
from typing import Final

RATING_MAX: Final = 5.0
"""Ratings are from 0 to this; what lies outside counts as the nearest that lies inside."""

RATING_POSITIVE: Final = 3.5
"""A rating from here on is positive (Rotten Tomatoes: 3.5 stars or more)."""

RATING_PRIOR: Final = 3.0
RATING_PRIOR_VOTES: Final = 25
POSITIVE_VOTES_MIN: Final = 5
"""Below so many votes there is no positive share (Rotten Tomatoes: no Tomatometer below five reviews)."""

METASCORE_MAX: Final = 100.0


def mean(total: float, count: float) -> float | None:
    """The arithmetic mean; None of nothing."""
    return total / count if count else None


def rate_with_prior(successes: float, trials: float, prior_rate: float, prior_weight: float) -> float:
    """The mean of a Beta posterior: the trials, and `prior_weight` imagined ones with a rate of `prior_rate`.

    (Gelman et al., "Bayesian Data Analysis", 3rd ed., section 2.4.)
    """
    return (successes + prior_rate * prior_weight) / (trials + prior_weight)


def weighted_rating(rating_sum: float, votes: float) -> float:
    """IMDb's weighted rating: ``v/(v+m) · R + m/(v+m) · C``, R the mean of v votes.

    C (`RATING_PRIOR`) is the mean that an unknown item is taken to have, m (`RATING_PRIOR_VOTES`) how many votes that
    is worth. (IMDb help, "How are ratings calculated for the Top Rated Movies list?")
    """
    return (rating_sum + RATING_PRIOR * RATING_PRIOR_VOTES) / (votes + RATING_PRIOR_VOTES)


def positive_share(positive: float, votes: float) -> float | None:
    """The share of votes that are positive (the Tomatometer's rule); None below `POSITIVE_VOTES_MIN` votes."""
    return positive / votes if votes >= POSITIVE_VOTES_MIN else None


def critic_score(weighted_sum: float, weight: float) -> float | None:
    """The weighted mean of critics' ratings on a scale of 0 to 100 (Metascore); None without a critic."""
    return weighted_sum / weight / RATING_MAX * METASCORE_MAX if weight else None


def trend(recent: float, expected: float) -> float:
    """How far a count is above what is usual, in standard deviations of a Poisson count: (r - e) / sqrt(e + 1).

    The 1 is a prior that keeps single interactions from leading.
    """
    return (recent - expected) / math.sqrt(expected + 1.0)


def shares(amounts: list[float]) -> list[float]:
    """Each amount as a share of the sum; all 0 when there is none."""
    total = sum(amounts)
    return [amount / total if total else 0.0 for amount in amounts]
