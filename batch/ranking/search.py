"""Coordinate search: one parameter at a time over its grid, again and again, until none gets better or time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

P = TypeVar("P")
Grid = Mapping[str, Sequence[float]]

BETTER = 1e-5
PATIENCE_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Found(Generic[P]):
    """The best policy, its score, and how it was come by."""

    policy: P
    score: float
    trials: int
    is_complete: bool  # whether nothing got better any more


def coordinate_search(
    starts: Sequence[P],
    grid: Grid,
    change: Callable[[P, str, float], P],
    score_of: Callable[[P], float],
    *,
    seconds_max: float,
    generator: np.random.Generator,
) -> Found[P]:
    """From the best of `starts` to the best policy found; the order of parameters is drawn anew each round.

    The first start is always tried, whatever the time.
    """
    until = time.perf_counter() + seconds_max
    policy, best_score, trials = starts[0], score_of(starts[0]), 1
    for start in starts[1:]:
        if time.perf_counter() > until:
            return Found(policy, best_score, trials, is_complete=False)
        score = score_of(start)
        trials += 1
        if score > best_score:
            policy, best_score = start, score
    for _ in range(PATIENCE_ROUNDS):
        improved = False
        for name in generator.permutation(sorted(grid)).tolist():
            for value in grid[name]:
                if value == getattr(policy, name):
                    continue
                if time.perf_counter() > until:
                    return Found(policy, best_score, trials, is_complete=False)
                tried = change(policy, name, value)
                score = score_of(tried)
                trials += 1
                if score > best_score + BETTER:
                    best_score, policy, improved = score, tried, True
        if not improved:
            break
    return Found(policy, best_score, trials, is_complete=True)
