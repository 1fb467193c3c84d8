"""Bandits: which of a few variants to show, learnt while showing them.

For an exploration slot the variants are sources or candidates, for an item its pictures. `BetaBandit` learns one rate a
variant and draws by Thompson sampling; `LinearBandit` learns what suits which context (LinUCB). Both hold a bounded
state, whatever they see, and give it as bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas.errors import ConsistencyError

VARIANTS_MAX: Final = 64
CONTEXT_MAX: Final = 64
TRIALS_MAX: Final = 100_000.0
"""Trials of a variant that are remembered: beyond, older ones count less, and the bandit follows what changes."""

PRIOR: Final = (1.0, 1.0)
"""Alpha and beta before anything is known: every rate is as likely."""

Floats = NDArray[np.float64]


class BadBandit(ConsistencyError):
    """The bytes are no bandit of this kind and size."""


class BetaBandit:
    """Thompson sampling: a variant is chosen with the probability that it is the best, as far as is known.

    (Thompson, 1933; Chapelle and Li, "An Empirical Evaluation of Thompson Sampling", NIPS 2011.)
    """

    def __init__(self, variants: Sequence[str], trials_max: float = TRIALS_MAX) -> None:
        _refuse_unfit(variants)
        self.variants = tuple(variants)
        self._trials_max = trials_max
        self._wins: Floats = np.zeros(len(variants))
        self._losses: Floats = np.zeros(len(variants))

    def choose(self, draws: np.random.Generator) -> str:
        """One draw from each posterior; the variant with the largest."""
        return self.variants[int(np.argmax(self._draw(draws, 1)[0]))]

    def propensities(self, draws: np.random.Generator, samples: int = 1_000) -> Floats:
        """How probable each choice is, by Monte Carlo; none is 0, so that off-policy estimates can use them."""
        best = np.argmax(self._draw(draws, samples), axis=1)
        counts = np.bincount(best, minlength=len(self.variants)) + 1.0 / len(self.variants)
        return np.asarray(counts / counts.sum(), np.float64)

    def learn(self, variant: str, reward: float) -> None:
        """What came of a choice: 0 for nothing, 1 for a click, or between."""
        number = self.variants.index(variant)
        reward = min(1.0, max(0.0, reward))
        self._wins[number] += reward
        self._losses[number] += 1 - reward
        trials = self._wins[number] + self._losses[number]
        if trials > self._trials_max:
            self._wins[number] *= self._trials_max / trials
            self._losses[number] *= self._trials_max / trials

    def rates(self) -> dict[str, float]:
        """The posterior mean of each variant."""
        means = (self._wins + PRIOR[0]) / (self._wins + self._losses + sum(PRIOR))
        return dict(zip(self.variants, means.tolist(), strict=True))

    def save(self) -> bytes:
        """The state, as `load` takes it."""
        state = {"variants": self.variants, "wins": self._wins.tolist(), "losses": self._losses.tolist()}
        return msgspec.json.encode(state | {"trials_max": self._trials_max})

    @classmethod
    def load(cls, saved: bytes) -> Self:
        """The bandit that was saved. Raises BadBandit."""
        state = _state_of(saved)
        try:
            found = cls(state["variants"], state["trials_max"])
            found._wins = _restored(state["wins"], found._wins.shape)
            found._losses = _restored(state["losses"], found._losses.shape)
        except (KeyError, TypeError, ValueError) as error:
            raise BadBandit(f"not a saved BetaBandit: {error!r}; begin with a new one") from error
        return found

    def _draw(self, draws: np.random.Generator, samples: int) -> Floats:
        shape = (samples, len(self.variants))
        return draws.beta(self._wins + PRIOR[0], self._losses + PRIOR[1], shape)  # [samples, variants]


class LinearBandit:
    """LinUCB with disjoint linear models: a reward is linear in the context, and the most hopeful variant is taken.

    The inverse of each design matrix is kept and updated (Sherman-Morrison): size² numbers a variant. (Li, Chu,
    Langford and Schapire, "A Contextual-Bandit Approach to Personalized News Article Recommendation", WWW 2010,
    algorithm 1.)
    """

    def __init__(self, variants: Sequence[str], size: int, alpha: float = 0.5) -> None:
        _refuse_unfit(variants)
        if not 1 <= size <= CONTEXT_MAX or alpha < 0:
            raise ValueError(f"a context of 1 to {CONTEXT_MAX} numbers and alpha >= 0, not {size} and {alpha}")
        self.variants = tuple(variants)
        self.size, self.alpha = size, alpha
        self._inverse: Floats = np.tile(np.eye(size), (len(variants), 1, 1))  # [variants, size, size]
        self._moments: Floats = np.zeros((len(variants), size))  # [variants, size]

    def choose(self, context: ArrayLike) -> str:
        """The variant with the highest upper bound; the first of equals."""
        x = self._context(context)
        reach = self._inverse @ x  # [variants, size]
        hope = np.einsum("vs,vs->v", self._moments, reach) + self.alpha * np.sqrt(np.maximum(reach @ x, 0.0))
        return self.variants[int(np.argmax(hope))]

    def learn(self, variant: str, context: ArrayLike, reward: float) -> None:
        """What came of a choice in this context."""
        number, x = self.variants.index(variant), self._context(context)
        reach = self._inverse[number] @ x
        self._inverse[number] -= np.outer(reach, reach) / (1 + x @ reach)
        self._moments[number] += reward * x

    def expected(self, context: ArrayLike) -> dict[str, float]:
        """The expected reward of each variant."""
        rewards = np.einsum("vs,vst,t->v", self._moments, self._inverse, self._context(context))
        return dict(zip(self.variants, rewards.tolist(), strict=True))

    def save(self) -> bytes:
        """The state, as `load` takes it."""
        state = {"variants": self.variants, "size": self.size, "alpha": self.alpha}
        return msgspec.json.encode(state | {"inverse": self._inverse.tolist(), "moments": self._moments.tolist()})

    @classmethod
    def load(cls, saved: bytes) -> Self:
        """The bandit that was saved. Raises BadBandit."""
        state = _state_of(saved)
        try:
            found = cls(state["variants"], state["size"], state["alpha"])
            found._inverse = _restored(state["inverse"], found._inverse.shape)
            found._moments = _restored(state["moments"], found._moments.shape)
        except (KeyError, TypeError, ValueError) as error:
            raise BadBandit(f"not a saved LinearBandit: {error!r}; begin with a new one") from error
        return found

    def _context(self, context: ArrayLike) -> Floats:
        x = np.asarray(context, np.float64)
        if x.shape != (self.size,) or not np.isfinite(x).all():
            raise ValueError(f"a context of {self.size} finite numbers, not of shape {x.shape}")
        return x


class ItemBandits:
    """A bandit over the variants of each of the items that were shown last, at most `items_max` of them."""

    def __init__(self, items_max: int) -> None:
        self._items_max = items_max
        self._bandits: OrderedDict[str, BetaBandit] = OrderedDict()

    def __len__(self) -> int:
        """Items that are remembered."""
        return len(self._bandits)

    def of(self, item_id: str, variants: Sequence[str]) -> BetaBandit:
        """The item's bandit; a new one when it is new, or has other variants than before."""
        found = self._bandits.get(item_id)
        if found is None or found.variants != tuple(variants):
            found = self._bandits[item_id] = BetaBandit(variants)
        self._bandits.move_to_end(item_id)
        if len(self._bandits) > self._items_max:
            self._bandits.popitem(last=False)
        return found

    def save(self) -> bytes:
        """The state, as `load` takes it."""
        return msgspec.json.encode({item: msgspec.Raw(one.save()) for item, one in self._bandits.items()})

    @classmethod
    def load(cls, saved: bytes, items_max: int) -> Self:
        """The bandits that were saved, the newest `items_max` of them. Raises BadBandit."""
        found = cls(items_max)
        for item_id, state in list(_state_of(saved).items())[-items_max:]:
            found._bandits[item_id] = BetaBandit.load(msgspec.json.encode(state))
        return found


def _refuse_unfit(variants: Sequence[str]) -> None:
    if not 1 <= len(variants) <= VARIANTS_MAX or len(set(variants)) < len(variants):
        raise ValueError(f"1 to {VARIANTS_MAX} different variants, not {len(variants)}")


def _state_of(saved: bytes) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(saved, type=dict[str, Any])
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise BadBandit(f"not a saved bandit: {error}; begin with a new one") from error


def _restored(numbers: Any, shape: tuple[int, ...]) -> Floats:
    found = np.asarray(numbers, np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise ValueError(f"numbers of shape {shape}, not {found.shape}")
    return found
