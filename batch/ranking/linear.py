"""A weighted sum of the sources: the fallback where there are too few questions to grow trees on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt

from batch.ranking.measures import measure
from batch.ranking.ranker import Examples

WEIGHTS: Final = (0.0, 0.3, 1.0)
COMBINATIONS_MAX: Final = 200


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


def fit_linear(examples: Examples) -> LinearFusion:
    """The weights of the highest score, from a small grid."""
    features = features_of(examples.names)
    best: tuple[float, LinearFusion] | None = None
    grid = [weights for weights in product(WEIGHTS, repeat=len(features)) if max(weights) == max(WEIGHTS)]
    for weights in grid[:COMBINATIONS_MAX]:
        tried = LinearFusion(tuple(zip(features, weights, strict=True)))
        score = measure(examples.ranked(tried.scores(examples.rows, examples.names)), examples.questions).score
        if best is None or score > best[0] + 1e-6:
            best = (score, tried)
    if best is None:
        raise ValueError(f"none of {list(examples.names)} is the score of a source")
    return best[1]
