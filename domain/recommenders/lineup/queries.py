"""Batches of prefixes to answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt

from domain.recommenders.compiled import Ids, Offsets

T = TypeVar("T")

__all__ = ["Ids", "Offsets", "Queries", "gather"]


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Prefixes to answer: query `q` knows `items[offsets[q]:offsets[q + 1]]`, oldest first, known items only."""

    offsets: Offsets
    items: Ids
    current: Ids  # [queries], the newest item; -1 when there is none or it is unknown
    _notes: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, prefixes: Sequence[Sequence[int]]) -> Self:
        """From lists of known dense ids, whose newest is the current item."""
        offsets = np.cumsum([0, *(len(prefix) for prefix in prefixes)], dtype=np.int64)
        items = np.array([item for prefix in prefixes for item in prefix], np.int32)
        return cls(offsets, items, np.array([prefix[-1] if prefix else -1 for prefix in prefixes], np.int32))

    def __len__(self) -> int:
        return len(self.current)

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """[queries], how many items are known."""
        return np.diff(self.offsets)

    def noted(self, name: str, find: Callable[[], T]) -> T:
        """What was found of exactly these queries under this name, found once."""
        if name not in self._notes:
            self._notes[name] = find()
        found: T = self._notes[name]
        return found

    def part(self, chosen: npt.NDArray[np.int64]) -> Queries:
        """The queries of these numbers, in this order."""
        offsets, places = gather(self.offsets, chosen)
        return Queries(offsets, self.items[places], self.current[chosen])

    def between(self, first: int, last: int) -> Queries:
        """The queries `first` to `last`, without a copy of their items."""
        start, end = self.offsets[first], self.offsets[last]
        return Queries(self.offsets[first : last + 1] - start, self.items[start:end], self.current[first:last])


def gather(offsets: Offsets, chosen: npt.NDArray[np.int64]) -> tuple[Offsets, npt.NDArray[np.int64]]:
    """Offsets of the chosen rows, and the places of their entries."""
    lengths = np.diff(offsets)[chosen]
    new = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return new, np.repeat(offsets[chosen] - new[:-1], lengths) + np.arange(new[-1])
