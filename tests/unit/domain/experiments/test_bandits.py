"""Bandits in one simulated world: visitors of three kinds, four pictures of an item, clicks by kind and picture."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from domain.experiments.bandits import BadBandit, BetaBandit, ItemBandits, LinearBandit
from domain.experiments.statistics_off_policy import snips

PICTURES = ("face", "scene", "title", "quote")
ROUNDS = 4_000
MATTERS = np.array([[0.30, 0.05, 0.10, 0.05], [0.05, 0.30, 0.10, 0.05], [0.05, 0.05, 0.15, 0.30]])  # [kinds, pictures]
ALIKE = np.tile([0.05, 0.10, 0.20, 0.08], (3, 1))


class World:
    """Visitors come one after the other, and would click on these pictures."""

    def __init__(self, rates: NDArray[np.float64], seed: int) -> None:
        draws = np.random.default_rng(seed)
        self.kinds = draws.integers(len(rates), size=ROUNDS).tolist()
        self.contexts = np.eye(len(rates))[self.kinds]
        self.clicks = draws.random((ROUNDS, len(PICTURES))) < rates[self.kinds]
        self.draws = draws

    def uniform(self) -> int:
        shown = self.draws.integers(len(PICTURES), size=ROUNDS)
        return int(self.clicks[np.arange(ROUNDS), shown].sum())

    def thompson(self) -> int:
        bandit, earned = BetaBandit(PICTURES), 0
        for clicks in self.clicks:
            picture = bandit.choose(self.draws)
            reward = int(clicks[PICTURES.index(picture)])
            bandit.learn(picture, reward)
            earned += reward
        return earned

    def linear(self) -> int:
        bandit, earned = LinearBandit(PICTURES, size=3), 0
        for context, clicks in zip(self.contexts, self.clicks, strict=True):
            picture = bandit.choose(context)
            reward = int(clicks[PICTURES.index(picture)])
            bandit.learn(picture, context, reward)
            earned += reward
        return earned


def test_where_visitors_are_alike_both_bandits_beat_chance_and_come_near_the_best() -> None:
    world = World(ALIKE, seed=1)
    chance, thompson, linear = world.uniform(), world.thompson(), world.linear()
    best = 0.20 * ROUNDS
    assert chance < 0.6 * best
    assert min(thompson, linear) > 1.4 * chance
    assert thompson > 0.85 * best


def test_where_the_context_matters_the_one_that_sees_it_beats_the_one_that_does_not() -> None:
    world = World(MATTERS, seed=2)
    chance, thompson, linear = world.uniform(), world.thompson(), world.linear()
    assert thompson > chance
    assert linear > 1.5 * thompson
    assert linear > 0.85 * 0.30 * ROUNDS


def test_propensities_of_thompson_sampling_are_how_often_it_chooses() -> None:
    bandit, draws = BetaBandit(PICTURES), np.random.default_rng(3)
    for picture, clicks in zip(PICTURES, (2, 4, 6, 1), strict=True):
        for number in range(20):
            bandit.learn(picture, float(number < clicks))
    chosen = [PICTURES.index(bandit.choose(draws)) for _ in range(2_000)]
    shares = np.bincount(chosen, minlength=4) / 2_000
    told = bandit.propensities(draws, samples=4_000)
    assert told.sum() == pytest.approx(1)
    assert told.min() > 0
    np.testing.assert_allclose(told, shares, atol=0.04)


def test_what_a_bandit_logged_tells_what_each_picture_would_have_earned() -> None:
    draws, bandit = np.random.default_rng(4), BetaBandit(PICTURES)
    shown, rewards, propensities = [], [], []
    world = World(ALIKE, seed=5)
    for clicks in world.clicks[:1_500]:
        chances = 0.6 * bandit.propensities(draws, samples=50) + 0.1  # never below a tenth
        number = int(draws.choice(4, p=chances / chances.sum()))
        bandit.learn(PICTURES[number], float(clicks[number]))
        shown.append(number)
        rewards.append(float(clicks[number]))
        propensities.append(chances[number] / chances.sum())
    for number, rate in enumerate(ALIKE[0]):
        estimate = snips(rewards, propensities, [float(each == number) for each in shown])
        assert abs(estimate.value - rate) <= estimate.high - estimate.low, "within four standard errors"


def test_a_bandit_forgets_slowly_and_follows_what_changes() -> None:
    bandit = BetaBandit(("a", "b"), trials_max=100)
    for _ in range(10_000):
        bandit.learn("a", 1)
    for _ in range(300):
        bandit.learn("a", 0)
    assert bandit.rates()["a"] < 0.1
    assert bandit.rates()["b"] == 0.5


def test_bandits_are_saved_and_go_on_as_they_were() -> None:
    beta, linear = BetaBandit(PICTURES), LinearBandit(PICTURES, size=2, alpha=0.3)
    beta.learn("face", 1)
    linear.learn("scene", [1.0, 0.5], 1.0)
    again = BetaBandit.load(beta.save())
    assert again.rates() == beta.rates()
    assert again.choose(np.random.default_rng(1)) == beta.choose(np.random.default_rng(1))
    same = LinearBandit.load(linear.save())
    assert same.expected([0.2, 1.0]) == pytest.approx(linear.expected([0.2, 1.0]))
    assert same.choose([0.2, 1.0]) == linear.choose([0.2, 1.0]) == "scene"


def test_the_updated_inverse_is_the_inverse() -> None:
    draws, bandit, design = np.random.default_rng(5), LinearBandit(("a",), size=4), np.eye(4)
    moments = np.zeros(4)
    for context in draws.normal(size=(200, 4)):
        reward = float(draws.random())
        bandit.learn("a", context, reward)
        design += np.outer(context, context)
        moments += reward * context
    probe = draws.normal(size=4)
    assert bandit.expected(probe)["a"] == pytest.approx(float(probe @ np.linalg.solve(design, moments)))


def test_only_so_many_items_are_remembered_and_a_new_set_of_pictures_begins_anew() -> None:
    bandits = ItemBandits(items_max=2)
    bandits.of("alien", PICTURES).learn("face", 1)
    bandits.of("heat", PICTURES)
    assert bandits.of("alien", PICTURES).rates()["face"] > 0.5
    bandits.of("dune", PICTURES)  # the third: heat, asked for longest ago, goes
    again = ItemBandits.load(bandits.save(), items_max=2)
    assert len(again) == len(bandits) == 2
    assert again.of("alien", PICTURES).rates()["face"] > 0.5
    assert again.of("alien", (*PICTURES, "poster")).rates()["face"] == 0.5


@pytest.mark.parametrize("saved", [b"{", b"[]", b"{}", b'{"variants":["a"],"trials_max":9,"wins":[1,2],"losses":[0]}'])
def test_foreign_bytes_are_refused(saved: bytes) -> None:
    with pytest.raises(BadBandit, match="begin with a new one"):
        BetaBandit.load(saved)
    with pytest.raises(BadBandit):
        LinearBandit.load(saved)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="different variants"):
        BetaBandit(("a", "a"))
    with pytest.raises(ValueError, match="a context of 1 to"):
        LinearBandit(("a",), size=0)
    with pytest.raises(ValueError, match="2 finite numbers"):
        LinearBandit(("a",), size=2).choose([1.0, float("nan")])
