"""Off-policy estimates against worlds in which the other policy can be asked."""

from __future__ import annotations

import numpy as np
import pytest

from domain.experiments.statistics_off_policy import Estimate, ips, snips

CONTEXTS, ACTIONS = 3, 4
CLICK_RATES = np.array([[0.1, 0.3, 0.2, 0.05], [0.4, 0.1, 0.1, 0.2], [0.02, 0.05, 0.3, 0.1]])  # [contexts, actions]
LOGGED = np.array([[0.4, 0.2, 0.2, 0.2], [0.1, 0.5, 0.2, 0.2], [0.3, 0.3, 0.1, 0.3]])
TARGET = np.array([[0.1, 0.7, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
TRUTH = float((TARGET * CLICK_RATES).sum(axis=1).mean())
EARNED = float((LOGGED * CLICK_RATES).sum(axis=1).mean())


def estimates(seed: int, decisions: int = 2_000) -> tuple[Estimate, Estimate]:
    """What both say of the target after a log of so many decisions."""
    draws = np.random.default_rng(seed)
    contexts = draws.integers(CONTEXTS, size=decisions)
    actions = (LOGGED[contexts].cumsum(axis=1) < draws.random((decisions, 1))).sum(axis=1)
    rewards = draws.random(decisions) < CLICK_RATES[contexts, actions]
    propensities, targets = LOGGED[contexts, actions], TARGET[contexts, actions]
    return ips(rewards, propensities, targets), snips(rewards, propensities, targets)


def test_both_estimates_tell_what_the_other_policy_would_have_earned() -> None:
    runs = [estimates(seed) for seed in range(300)]
    for of_one_kind in zip(*runs, strict=True):
        covered = np.mean([each.low <= TRUTH <= each.high for each in of_one_kind])
        assert 0.91 <= covered <= 0.99
        assert np.mean([each.value for each in of_one_kind]) == pytest.approx(TRUTH, abs=0.005)
    assert TRUTH - EARNED > 0.05, "which is not what was earned"
    spreads = [np.std([each.value for each in of_one_kind]) for of_one_kind in zip(*runs, strict=True)]
    assert spreads[1] < spreads[0], "normalising itself narrows it"


def test_the_policy_of_the_log_is_estimated_by_its_mean() -> None:
    rewards, propensities = [1.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.25, 1.0]
    for estimate in (ips, snips):
        found = estimate(rewards, propensities, propensities)
        assert (found.value, found.effective) == (0.5, 4.0)


def test_decisions_that_go_together_do_not_count_as_many() -> None:
    draws = np.random.default_rng(1)
    visitors = np.repeat(np.arange(200), 10)
    rewards = np.repeat(draws.random(200) < 0.3, 10)
    chances = np.full(2_000, 0.5)
    alone, together = snips(rewards, chances, chances), snips(rewards, chances, chances, visitors)
    assert alone.value == pytest.approx(together.value)
    assert (together.high - together.low) / (alone.high - alone.low) == pytest.approx(10**0.5, rel=0.02)


def test_what_had_no_chance_or_more_than_all_is_refused() -> None:
    for propensity in (0.0, 1.5):
        with pytest.raises(ValueError, match="propensities lie in"):
            ips([1.0], [propensity], [1.0])


def test_of_nothing_nothing_is_known() -> None:
    assert ips([], [], []).high == snips([], [], []).high == float("inf")
