"""The weights of a sum of the sources, from a small grid, for each length of session that there are questions of."""

from __future__ import annotations

from itertools import product
from typing import Final

import numpy as np

from batch.ranking.measures import by_question, scores_of
from batch.ranking.ranker import Examples
from domain.recommenders.lineup.linear import LENGTHS, LinearFusion, Weights, features_of

WEIGHTS: Final = (0.0, 0.3, 1.0)
COMBINATIONS_MAX: Final = 200
QUESTIONS_FOR_A_LENGTH: Final = 200
"""With fewer of a length its weights are those of all questions."""


def fit_linear(examples: Examples) -> LinearFusion:
    """The weights of the highest score, of equal ones the first."""
    features = features_of(examples.names)
    if not features:
        raise ValueError(f"none of {list(examples.names)} is the score of a source")
    grid: list[Weights] = [
        tuple(zip(features, weights, strict=True))
        for weights in product(WEIGHTS, repeat=len(features))
        if max(weights) == max(WEIGHTS)
    ][:COMBINATIONS_MAX]
    found = np.stack([_scored(LinearFusion.of(weights), examples) for weights in grid])  # [grid, questions]
    lengths, everybody = examples.questions.queries.lengths, grid[_best(found)]
    by_length: list[tuple[int | None, Weights]] = []
    shorter = 0
    for longest in (*LENGTHS, None):
        some = (lengths > shorter) & (lengths <= (longest or np.inf))
        has_enough = some.sum() >= QUESTIONS_FOR_A_LENGTH
        by_length.append((longest, grid[_best(found[:, some])] if has_enough else everybody))
        shorter = longest or shorter
    return LinearFusion(tuple(by_length))


def _scored(fusion: LinearFusion, examples: Examples) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    ranked = examples.ranked(fusion.scores(examples.rows, examples.names))
    scores, weights = scores_of(by_question(ranked, examples.questions)), examples.questions.weights
    return scores if weights is None else scores * weights


def _best(found: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> int:
    return int(np.argmax(found.mean(axis=1).round(6)))
