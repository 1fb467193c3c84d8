"""Where item vectors start: items seen together begin close together, so that few epochs are needed.

Positive pointwise mutual information of items seen within a few clicks, factorised: Levy and Goldberg, "Neural Word
Embedding as Implicit Matrix Factorization", NIPS 2014, with their smoothing of the counts (Levy, Goldberg and Dagan,
TACL 2015) and log(1 + x) in place of max(log x, 0), which keeps weak pairs apart. The factorisation is the randomised
one of Halko, Martinsson and Tropp, SIAM Review 53, 2011, for a symmetric matrix. Dense parts run in torch, which keeps
to the number of threads it was given.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch

from batch.training.neural.batches import newest
from domain.recommenders.session_log import SessionLog

STEPS_MAX: Final = 5
STEP_DECAY: Final = 2.0
"""A pair at distance d counts exp(-(d - 1) / STEP_DECAY)."""
SMOOTHING: Final = 0.75
POWER_ITERATIONS: Final = 4
OVERSAMPLED: Final = 16
NOISE: Final = 0.1
"""Length of the random part of a vector of length 1: it tells apart what the factorisation cannot."""

CLICKS_MAX: Final = 4_000_000
"""About so many clicks, of the newest sessions, are counted: ten pairs a click at most, half a gigabyte of matrix."""

Floats = npt.NDArray[np.float32]


def covisitation(log: SessionLog, items_count: int) -> Any:
    """Symmetric sparse counts [items, items] of what was seen near what."""
    session_of = np.repeat(np.arange(len(log)), np.diff(log.offsets))
    total = scipy.sparse.csr_matrix((items_count, items_count), dtype=np.float32)
    for step in range(1, STEPS_MAX + 1):
        together = session_of[step:] == session_of[:-step]
        weights = np.full(int(together.sum()), np.exp(-(step - 1) / STEP_DECAY), np.float32)
        pairs = (log.items[:-step][together], log.items[step:][together])
        total = total + scipy.sparse.csr_matrix((weights, pairs), shape=total.shape)
    return total + total.T


def item_vectors(log: SessionLog, items_count: int, dimensions: int, seed: int) -> Floats:
    """Vectors [items, dimensions] of length about 1; items that were seen with nothing get short random ones."""
    generator = np.random.default_rng(seed)
    sessions_max = int(len(log) * min(CLICKS_MAX / max(len(log.items), 1), 1))
    association = _association(covisitation(newest(log, sessions_max), items_count))
    width = min(dimensions + OVERSAMPLED, items_count)
    basis = generator.standard_normal((items_count, width)).astype(np.float32)
    for _ in range(POWER_ITERATIONS):
        basis = torch.linalg.qr(torch.from_numpy(association @ basis))[0].numpy()
    core = torch.from_numpy(basis).T @ torch.from_numpy(association @ basis)
    values, rotation = torch.linalg.eigh(core)  # ascending
    best = min(dimensions, width)
    vectors = np.zeros((items_count, dimensions), np.float32)
    scaled = rotation[:, -best:] * values[-best:].clamp(min=0).sqrt()
    vectors[:, :best] = (torch.from_numpy(basis) @ scaled).numpy()
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-6)
    noise = generator.standard_normal(vectors.shape) * (NOISE / np.sqrt(dimensions))
    started: Floats = (vectors + noise).astype(np.float32)
    return started


def from_neighbours(vectors: Floats, missing: npt.NDArray[np.int64], log: SessionLog) -> Floats:
    """A copy in which each missing row is the mean of those seen near it, of length 1; zero if there are none."""
    near = covisitation(log, len(vectors))[missing]
    means = near @ vectors
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    completed = vectors.copy()
    completed[missing] = np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 1e-6)
    return completed


def _association(counts: Any) -> Any:
    """log(1 + observed / expected) of each pair, and the mean of them on the diagonal of items that have any."""
    totals = np.asarray(counts.sum(axis=1), np.float64).ravel()
    shares = (totals**SMOOTHING / max((totals**SMOOTHING).sum(), 1e-9)).astype(np.float32)
    pairs = counts.tocoo(copy=False)
    values = pairs.data / (shares[pairs.row] * shares[pairs.col] * np.float32(max(totals.sum(), 1e-9)))
    np.log1p(values, out=values)
    matrix = scipy.sparse.csr_matrix((values, (pairs.row, pairs.col)), shape=pairs.shape)
    mean = float(values.mean()) if len(values) else 1.0
    return matrix + scipy.sparse.diags((totals > 0).astype(np.float32) * np.float32(mean), format="csr")
