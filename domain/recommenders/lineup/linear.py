"""A weighted sum of the sources by the length of the session: the fallback where too little is known to grow trees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

LENGTH: Final = "query_length"
LENGTHS: Final = (1, 4)
"""Sessions of one item, of up to four, and longer ones may each have weights of their own."""

Weights = tuple[tuple[str, float], ...]


class LinearFusion(msgspec.Struct, frozen=True):
    """Weights by feature, for sessions up to each length; features are between 0 and 1: shares of the highest."""

    by_length: tuple[tuple[int | None, Weights], ...]  # ascending; None, the last one: however long

    @classmethod
    def of(cls, weights: Weights) -> LinearFusion:
        """The same weights whatever the length."""
        return cls(((None, weights),))

    def scores(self, rows: npt.NDArray[np.float32], names: Sequence[str]) -> npt.NDArray[np.float64]:
        """[rows] from [rows, features]."""
        total = np.zeros(len(rows))
        left = np.ones(len(rows), bool)
        for longest, weights in self.by_length:
            some = left if longest is None else left & (rows[:, names.index(LENGTH)] <= longest)
            for name, weight in weights:
                total[some] += weight * rows[some, names.index(name)]
            left = left & ~some
        return total


def features_of(names: Sequence[str]) -> list[str]:
    """The feature of each source that a sum can use."""
    return [name for name in names if name.endswith(("_score_of_highest", "_softmax"))]
