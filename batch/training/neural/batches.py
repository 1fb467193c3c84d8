"""A session log cut into batches of pieces of about equal length, so that little of a batch is padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from domain.recommenders.session_log import SessionLog

BATCHES_SORTED_TOGETHER: Final = 50
"""Pieces are sorted by length within so many batches' worth of shuffled pieces: mixed enough, hardly padded."""
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Pieces of sessions side by side, the shorter ones padded at their end."""

    items: npt.NDArray[np.int64]  # [pieces, clicks], oldest first; any item where `is_click` is false
    is_click: npt.NDArray[np.bool_]  # [pieces, clicks]
    weights: npt.NDArray[np.float32]  # [pieces], of the loss


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Where the pieces of a log lie. Neighbours within a session share one click: it ends one and begins the next."""

    items: npt.NDArray[np.int32]  # [clicks] of the log
    starts: npt.NDArray[np.int64]  # [pieces]
    lengths: npt.NDArray[np.int64]  # [pieces], at least 2
    weights: npt.NDArray[np.float32]  # [pieces], mean about 1

    @classmethod
    def cut(cls, log: SessionLog, clicks_max: int, half_life_days: float = 0.0) -> Pieces:
        """Pieces with at most `clicks_max` clicks that have a next one, counted from each session's end."""
        ends = log.offsets[1:]
        steps = np.maximum(np.diff(log.offsets) - 1, 0)  # clicks with a next one
        counts = -(-steps // clicks_max)
        session_of = np.repeat(np.arange(len(log)), counts)
        nth = np.arange(len(session_of)) - np.repeat(np.cumsum(counts) - counts, counts)  # 0 = the newest piece
        piece_ends = ends[session_of] - nth * clicks_max
        starts = np.maximum(piece_ends - clicks_max - 1, log.offsets[:-1][session_of])
        weights = np.ones(len(starts), np.float32)
        if half_life_days and len(starts):
            ages = (log.ended_at_ms.max() - log.ended_at_ms[session_of]) / DAY_MS
            weights = np.exp2(-ages / half_life_days).astype(np.float32)
            weights /= weights.mean()
        return cls(log.items, starts, piece_ends - starts, weights)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def clicks(self) -> int:
        """Clicks with a next one: what an epoch learns from."""
        return int((self.lengths - 1).sum())

    def batches(self, clicks_per_batch: int, generator: np.random.Generator) -> Iterator[Batch]:
        """One epoch in random order: batches of about `clicks_per_batch` clicks each."""
        order = generator.permutation(len(self))
        mean = max(self.clicks / max(len(self), 1), 1.0)
        together = max(int(BATCHES_SORTED_TOGETHER * clicks_per_batch / mean), 1)
        groups: list[npt.NDArray[np.int64]] = []
        for first in range(0, len(order), together):
            some = order[first : first + together]
            some = some[np.argsort(self.lengths[some], kind="stable")]
            filled = np.cumsum(self.lengths[some] - 1)
            cuts = np.searchsorted(filled, np.arange(clicks_per_batch, filled[-1], clicks_per_batch))
            groups += [group for group in np.split(some, np.unique(cuts)) if len(group)]
        for number in generator.permutation(len(groups)).tolist():
            yield self._batch(groups[number])

    def batches_count(self, clicks_per_batch: int) -> int:
        """About how many batches an epoch has."""
        return max(-(-self.clicks // clicks_per_batch), 1)

    def _batch(self, pieces: npt.NDArray[np.int64]) -> Batch:
        places = np.arange(int(self.lengths[pieces].max()))
        is_click = places < self.lengths[pieces][:, None]
        at = np.minimum(self.starts[pieces][:, None] + places, len(self.items) - 1)
        return Batch(self.items[at].astype(np.int64), is_click, self.weights[pieces])


def newest(log: SessionLog, sessions_max: int) -> SessionLog:
    """The `sessions_max` newest sessions of a log, oldest first; all of it with 0."""
    if not sessions_max or sessions_max >= len(log):
        return log
    kept = np.sort(np.argsort(log.ended_at_ms, kind="stable")[-sessions_max:])
    lengths = np.diff(log.offsets)[kept]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    at = np.repeat(log.offsets[kept] - offsets[:-1], lengths) + np.arange(offsets[-1])
    return SessionLog(offsets, log.items[at], log.ended_at_ms[kept])
