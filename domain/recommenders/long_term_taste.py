"""Long-term taste: matrix factorisation of who acted on what, with the visitor folded in when asked.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008. Of item factors y_i, the
taste of a visitor with weights w_i (how often and how strongly they acted on item i) is the solution x of

    (G + sum of c_i y_i y_i' + regularisation * n * I) x = sum of (1 + c_i) y_i,    c_i = confidence * w_i

over their n distinct items, where G is the sum of y_i y_i' over the whole catalogue, computed once; their equation 4.
The regularisation grows with n, as Zhou et al. (AAIM 2008) have it and Spark, which trains the factors. Only items are
stored: a visitor needs no training, and is never out of date.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders.best import best_of_all
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.stored import UnreadableModel, read_arrays, write_arrays

FILE: Final = "long_term_taste.npz"
POLICY_FILE: Final = "long_term_taste.json"
KIND: Final = "long-term-taste"
FORMAT: Final = 1
SUMMED_TOGETHER: Final = 8_192
"""Factors that are held in double precision at once, while the Gram matrix is summed."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TastePolicy:
    """How a history becomes a taste. The first two must be those that the factors were trained with.

    `decay_positions`: an interaction weighs exp(-its place from the end / this); 0: all weigh the same.
    """

    confidence: float = 10.0
    regularisation: float = 0.05
    history_items_max: int = 200
    decay_positions: float = 0.0

    def __post_init__(self) -> None:
        if not (self.confidence > 0 and self.regularisation > 0 and self.history_items_max > 0):
            raise ValueError(f"confidence, regularisation and history_items_max must be above 0 in {self}")
        if not self.decay_positions >= 0:
            raise ValueError(f"decay_positions must not be negative in {self}")


class LongTermTaste:
    """A `Recommender` over item factors. Thread-safe: nothing changes after it is built."""

    def __init__(self, factors: Floats, policy: TastePolicy | None = None) -> None:
        """`factors` [items, width]; a row of zeros is an item that nobody has acted on, which is never ranked."""
        self.factors = np.ascontiguousarray(factors, np.float32)
        self.policy = policy or TastePolicy()
        self.gram = _gram(self.factors)  # [width, width]
        self._is_known: npt.NDArray[np.bool_] = (self.factors != 0).max(axis=1, initial=False)  # [items]

    @property
    def items_count(self) -> int:
        """Size of the vocabulary it was built for."""
        return len(self.factors)

    def taste(self, items: npt.NDArray[np.int32], weights: Doubles) -> Doubles:
        """The factors [width] of a visitor from distinct items that are known, and their weights, above 0."""
        width = self.factors.shape[1]
        confidence = self.policy.confidence * weights
        of_items = self.factors[items].astype(np.float64)  # [items, width]
        left = self.gram + (of_items * confidence[:, None]).T @ of_items
        left.flat[:: width + 1] += self.policy.regularisation * len(items)
        right = (1 + confidence) @ of_items
        return np.linalg.solve(left, right).astype(np.float64)

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`; `session` may as well be the visitor's whole history. Empty without a known item."""
        taste = self._taste_of(session)
        if taste is None or k <= 0:
            return empty_ranking()
        scores = self.factors @ taste
        scores[~self._is_known] = -np.inf
        return best_of_all(scores, k)

    def scores(self, session: Session, items: npt.NDArray[np.int32]) -> Floats:
        """How much each of some items of the catalogue is to the visitor's taste; about 1 for what they had, else 0."""
        taste = self._taste_of(session)
        found: Floats = np.zeros(len(items), np.float32) if taste is None else self.factors[items] @ taste
        return found

    def _taste_of(self, session: Session) -> Floats | None:
        newest = session.items[-self.policy.history_items_max :]
        visited = np.array(newest, np.int64)
        inside = (visited >= 0) & (visited < self.items_count)
        known = inside & self._is_known[np.where(inside, visited, 0)] if self.items_count else inside
        if not known.any():
            return None
        ages = np.arange(len(visited) - 1, -1, -1)
        decay = self.policy.decay_positions
        each = np.exp(-ages / decay) if decay else np.ones(len(visited))
        items, place = np.unique(visited[known], return_inverse=True)
        weights = np.bincount(place, each[known]).astype(np.float64)
        return self.taste(items.astype(np.int32), weights).astype(np.float32)

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        write_arrays(folder / FILE, KIND, FORMAT, {"factors": self.factors})
        (folder / POLICY_FILE).write_bytes(msgspec.json.encode(asdict(self.policy)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        path = folder / POLICY_FILE
        try:
            policy = msgspec.json.decode(path.read_bytes(), type=TastePolicy)
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise UnreadableModel(path, str(error)) from error
        return cls(read_arrays(folder / FILE, KIND, FORMAT, ["factors"])["factors"], policy)


def _gram(factors: Floats) -> Doubles:
    gram = np.zeros((factors.shape[1], factors.shape[1]))
    for first in range(0, len(factors), SUMMED_TOGETHER):
        some = factors[first : first + SUMMED_TOGETHER].astype(np.float64)
        gram += some.T @ some
    return gram
