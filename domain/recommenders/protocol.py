"""What every source of candidates promises: rank items for a session, save itself, load itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

GAP = -1
"""Stands in a session for an item that must not count, while the items around it keep their places."""


@dataclass(frozen=True, slots=True)
class Session:
    """What the visitor did in this session: dense item ids of one `Vocabulary`, oldest first.

    Unknown items are dropped beforehand (`Vocabulary.session`); a negative id is a `GAP`.
    """

    items: tuple[int, ...]

    def without(self, item: int) -> Session:
        """The same session with a gap wherever `item` stood: what an explanation compares against."""
        return Session(tuple(GAP if each == item else each for each in self.items))


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Items with their scores, best first; equal scores are ordered by the lower id, so results are deterministic."""

    items: npt.NDArray[np.int32]  # [n]
    scores: npt.NDArray[np.float32]  # [n], aligned with `items`

    def __len__(self) -> int:
        return len(self.items)

    def excluding(self, item: int, k: int) -> Ranking:
        """The first `k` entries that are not `item`."""
        kept = self.items != item
        return Ranking(self.items[kept][:k], self.scores[kept][:k])


class Recommender(Protocol):
    """One source of candidates. `rank` is thread-safe, never blocks, and may answer with fewer than `k` items."""

    def rank(self, session: Session, k: int) -> Ranking:
        """The best `k` items for this session; items of the session itself are not filtered out."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything `load` needs into `folder`, which exists."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel` when the file is of another kind or format."""
        ...


def empty_ranking() -> Ranking:
    """What a recommender answers when it knows nothing."""
    return Ranking(np.empty(0, np.int32), np.empty(0, np.float32))
