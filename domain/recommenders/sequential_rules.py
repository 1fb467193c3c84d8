"""Sequential rules: what was seen within a few steps after this item? The second baseline of every printed figure.

Ludewig and Jannach, "Evaluation of Session-based Recommendation Algorithms", UMUAI 28, 2018, section 3.1.3: each pair
(earlier, later) at distance d <= `steps_max` within a session adds 1 / d to the rule earlier -> later; the rules of the
newest item are the answer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.session_log import SessionLog
from domain.recommenders.stored import Arrays, read_arrays, write_arrays

FILE = "sequential_rules.npz"
KIND = "sequential-rules"
FORMAT = 1


class SequentialRules:
    """A `Recommender` that looks at the newest known item only."""

    def __init__(
        self, offsets: npt.NDArray[np.int64], later: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]
    ) -> None:
        self.offsets = offsets  # [items + 1]
        self.later = later  # per earlier item, best first
        self.weights = weights  # aligned with `later`

    @classmethod
    def build(cls, log: SessionLog, items_count: int, steps_max: int = 10) -> Self:
        """Count the rules of a log."""
        session_of = np.repeat(np.arange(len(log)), np.diff(log.offsets))
        keys: list[npt.NDArray[np.int64]] = []
        weights: list[npt.NDArray[np.float64]] = []
        for step in range(1, steps_max + 1):
            together = session_of[step:] == session_of[:-step]
            pairs = log.items[:-step][together].astype(np.int64) * items_count + log.items[step:][together]
            keys.append(pairs)
            weights.append(np.full(len(pairs), 1.0 / step))
        rules, rule_of = np.unique(np.concatenate(keys), return_inverse=True)
        totals = np.bincount(rule_of, weights=np.concatenate(weights), minlength=len(rules)).astype(np.float32)
        earlier, later = np.divmod(rules, max(items_count, 1))
        order = np.lexsort((later, -totals, earlier))
        offsets = np.concatenate(([0], np.cumsum(np.bincount(earlier, minlength=items_count))))
        return cls(offsets.astype(np.int64), later[order].astype(np.int32), totals[order])

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`."""
        known = [item for item in session.items if 0 <= item < len(self.offsets) - 1]
        if not known or k <= 0:
            return empty_ranking()
        start, end = int(self.offsets[known[-1]]), int(self.offsets[known[-1] + 1])
        return Ranking(self.later[start:end][:k], self.weights[start:end][:k])

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        arrays: Arrays = {"offsets": self.offsets, "later": self.later, "weights": self.weights}
        write_arrays(folder / FILE, KIND, FORMAT, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        return cls(**read_arrays(folder / FILE, KIND, FORMAT, ["offsets", "later", "weights"]))
