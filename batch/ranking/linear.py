"""The weights of a sum of the sources, from a small grid."""

from __future__ import annotations

from itertools import product
from typing import Final

from batch.ranking.measures import measure
from batch.ranking.ranker import Examples
from domain.recommenders.lineup.linear import LinearFusion, features_of

WEIGHTS: Final = (0.0, 0.3, 1.0)
COMBINATIONS_MAX: Final = 200


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
