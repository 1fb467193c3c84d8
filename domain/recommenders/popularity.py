"""What everybody watches: the last rung of fallbacks, and the baseline every figure is printed beside."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from domain.recommenders.protocol import Ranking, Session
from domain.recommenders.stored import read_arrays, write_arrays

FILE = "popularity.npz"
KIND = "popularity"
FORMAT = 1


class Popularity:
    """Ranks the same list for everybody: by decayed count, then by the lower id. Items without a count are left out."""

    def __init__(self, counts: npt.NDArray[np.int64]) -> None:
        """`counts` [items] are decayed counts in any fixed-point unit; scores come out in the same unit."""
        self.counts = counts.astype(np.int64)
        counted = np.flatnonzero(self.counts > 0)
        order = counted[np.argsort(-self.counts[counted], kind="stable")]
        self._best = Ranking(order.astype(np.int32), self.counts[order].astype(np.float32))

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`; the session makes no difference."""
        del session
        return Ranking(self._best.items[: max(k, 0)], self._best.scores[: max(k, 0)])

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        write_arrays(folder / FILE, KIND, FORMAT, {"counts": self.counts})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        return cls(read_arrays(folder / FILE, KIND, FORMAT, ["counts"])["counts"])
