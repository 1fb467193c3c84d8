"""Sample-ratio mismatch: more visitors in one arm than its share of the lot explains.

Then the arms are not alike in who is in them, whatever made them so (a crash in one arm, bots, a lost log), and no
other figure of the experiment can be trusted. (Fabijan et al., "Diagnosing Sample Ratio Mismatch in Online Controlled
Experiments", KDD 2019.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from domain.experiments.distributions import chi_square_tail

ALARM_BELOW: Final = 0.001
CONCENTRATION: Final = 1_000.0
"""How close to the shares the sequential test looks for mismatches first: about 1 / sqrt(2 x this)."""


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """`p_value` is Pearson's, for one look; `sequential_p_value` holds for any number of looks."""

    expected: tuple[float, ...]
    p_value: float
    sequential_p_value: float

    @property
    def is_alarming(self) -> bool:
        """Whether the counts are not those of the lot."""
        return min(self.p_value, self.sequential_p_value) < ALARM_BELOW


def check_ratio(counts: Sequence[int], shares: Sequence[float]) -> RatioCheck:
    """Compare the visitors of each arm with its share, both in the same order; shares are positive."""
    total, whole = sum(counts), math.fsum(shares)
    expected = tuple(total * share / whole for share in shares)
    if not total:
        return RatioCheck(expected, 1.0, 1.0)
    statistic = math.fsum((count - due) ** 2 / due for count, due in zip(counts, expected, strict=True))
    p_value = chi_square_tail(statistic, len(counts) - 1)
    return RatioCheck(expected, p_value, _sequential(counts, [share / whole for share in shares]))


def _sequential(counts: Sequence[int], shares: Sequence[float]) -> float:
    """One by the Bayes factor of "any shares", from a Dirichlet around the declared ones, against the declared ones.

    It is a martingale while the lot is fair. (Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data",
    NeurIPS 2022.)
    """
    total = sum(counts)
    log_factor = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + total)
    for count, share in zip(counts, shares, strict=True):
        prior = CONCENTRATION * share
        log_factor += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return min(1.0, math.exp(-min(log_factor, 700.0)))
