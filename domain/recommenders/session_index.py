"""The VMIS index: for each item the newest sessions that hold it, and for each session its items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from domain.recommenders.session_knn_policy import SessionKnnPolicy
from domain.recommenders.session_log import SessionLog
from domain.recommenders.stored import read_arrays, write_arrays

KIND = "session-index"
FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class SessionIndex:
    """Immutable. Sessions are numbered by recency, 0 being the newest, so ids compare as ages do.

    VMIS (Kersbergen et al., "Serenade", SIGMOD 2022) keeps per item only its newest `sessions_per_item_max` sessions:
    that bounds the work of a query whatever the size of the log.
    """

    item_offsets: npt.NDArray[np.int64]  # [items + 1]
    item_sessions: npt.NDArray[np.int32]  # newest first
    session_offsets: npt.NDArray[np.int64]  # [sessions + 1]
    session_items: npt.NDArray[np.int32]  # oldest first, the newest `session_items_max` of each session
    ended_at_ms: npt.NDArray[np.int64]  # [sessions], never rising
    sessions_by_item: npt.NDArray[np.int64]  # [items], how many sessions hold the item, before the cut
    distinct_items: npt.NDArray[np.int32]  # [sessions]

    @classmethod
    def build(cls, log: SessionLog, items_count: int, policy: SessionKnnPolicy) -> Self:
        """Index finished sessions; of two that ended at the same instant the later one in `log` counts as newer."""
        newest_first = np.argsort(log.ended_at_ms, kind="stable")[::-1]
        ends = log.offsets[1:][newest_first]
        lengths = np.minimum(np.diff(log.offsets)[newest_first], policy.session_items_max)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        session_of = np.repeat(np.arange(len(log), dtype=np.int64), lengths)  # [kept interactions]
        place = np.arange(offsets[-1]) - offsets[:-1][session_of]
        items = log.items[(ends - lengths)[session_of] + place]
        pairs = _distinct(items.astype(np.int64) * max(len(log), 1) + session_of)  # by item, then newest session
        item_of, holder = np.divmod(pairs, max(len(log), 1))
        counts = np.bincount(item_of, minlength=items_count)
        starts = np.concatenate(([0], np.cumsum(counts)))
        kept = np.arange(len(pairs)) - starts[item_of] < policy.sessions_per_item_max
        kept_counts = np.minimum(counts, policy.sessions_per_item_max)
        return cls(
            item_offsets=np.concatenate(([0], np.cumsum(kept_counts))).astype(np.int64),
            item_sessions=holder[kept].astype(np.int32),
            session_offsets=offsets.astype(np.int64),
            session_items=items.astype(np.int32),
            ended_at_ms=log.ended_at_ms[newest_first],
            sessions_by_item=counts.astype(np.int64),
            distinct_items=np.bincount(holder, minlength=len(log)).astype(np.int32),
        )

    @property
    def items_count(self) -> int:
        """Size of the vocabulary it was built for."""
        return len(self.sessions_by_item)

    @property
    def sessions_count(self) -> int:
        """How many sessions can be neighbours."""
        return len(self.ended_at_ms)

    def save(self, path: Path) -> None:
        """Write the arrays to `path` (.npz, no pickle)."""
        arrays = {name: getattr(self, name) for name in self.__slots__}
        write_arrays(path, KIND, FORMAT, arrays)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        return cls(**read_arrays(path, KIND, FORMAT, cls.__slots__))


def _distinct(numbers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers ascending, each once. NumPy's own `unique` hashes them, which is slow where nearly all differ."""
    ascending = np.sort(numbers)
    distinct: npt.NDArray[np.int64] = ascending[np.diff(ascending, prepend=ascending[:1] - 1) != 0]
    return distinct
