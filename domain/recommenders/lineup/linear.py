"""A weighted sum of the sources: the fallback where there are too few questions to grow trees on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class LinearFusion:
    """Weights by feature; features are between 0 and 1: scores as shares of the highest."""

    weights: tuple[tuple[str, float], ...]

    def scores(self, rows: npt.NDArray[np.float32], names: Sequence[str]) -> npt.NDArray[np.float64]:
        """[rows] from [rows, features]."""
        total = np.zeros(len(rows))
        for name, weight in self.weights:
            total += weight * rows[:, names.index(name)]
        return total


def features_of(names: Sequence[str]) -> list[str]:
    """The feature of each source that a sum can use."""
    return [name for name in names if name.endswith(("_score_of_highest", "_softmax"))]
