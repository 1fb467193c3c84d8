"""How good is a model on the validation? Every item is ranked, by products with the whole item matrix."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from batch.training.neural.contract import NextClicks
from domain.recommenders.neural import NeuralSessionModel

K: Final = 20
QUERIES_MAX: Final = 5_000
RANKED_TOGETHER: Final = 256


def sample(queries: NextClicks, seed: int, queries_max: int = QUERIES_MAX) -> NextClicks:
    """At most `queries_max` queries, drawn by the seed; queries that cannot count under `struck` are left out."""
    lengths = np.diff(queries.offsets)
    counts = lengths > 0
    if queries.struck == "current":
        newest = queries.items[np.maximum(queries.offsets[1:] - 1, 0)] if len(queries.items) else queries.targets
        counts &= newest != queries.targets
    kept = np.flatnonzero(counts)
    if len(kept) > queries_max:
        kept = np.sort(np.random.default_rng(seed).choice(kept, queries_max, replace=False))
    offsets = np.concatenate(([0], np.cumsum(lengths[kept])))
    at = np.repeat(queries.offsets[:-1][kept] - offsets[:-1], lengths[kept]) + np.arange(offsets[-1])
    return NextClicks(offsets, queries.items[at], queries.targets[kept], queries.struck)


def judge(model: NeuralSessionModel, queries: NextClicks) -> dict[str, float]:
    """hr@20, mrr@20 and `score`, their sum, which the training stops by."""
    encoded = model.encode(queries.offsets, queries.items)
    ranks = np.full(len(queries), K + 1)
    for first in range(0, len(queries), RANKED_TOGETHER):
        rows = np.arange(first, min(first + RANKED_TOGETHER, len(queries)))
        logits = encoded[rows] @ model.vectors.T + model.biases
        _strike(logits, queries, rows)
        targets = queries.targets[rows]
        own = logits[np.arange(len(rows)), targets]  # of an unknown target (-1) any item's: it is a miss below
        higher = (logits > own[:, None]).sum(1) + 1
        ranks[rows] = np.where((targets >= 0) & np.isfinite(own), higher, K + 1)
    hits = ranks <= K
    hit_rate, reciprocal = float(hits.mean()), float(np.where(hits, 1 / ranks, 0).mean())
    return {"hr@20": hit_rate, "mrr@20": reciprocal, "score": hit_rate + reciprocal}


def _strike(logits: npt.NDArray[np.float32], queries: NextClicks, rows: npt.NDArray[np.int64]) -> None:
    for place, row in enumerate(rows.tolist()):
        end = int(queries.offsets[row + 1])
        start = end if queries.struck == "nothing" else end - 1 if queries.struck == "current" else queries.offsets[row]
        struck = queries.items[start:end]
        logits[place, struck[struck >= 0]] = -np.inf
