"""Finished sessions in compressed rows: what the session index and its baselines are built from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class SessionLog:
    """Sessions in any order; session `s` holds `items[offsets[s]:offsets[s + 1]]`, oldest first."""

    offsets: npt.NDArray[np.int64]  # [sessions + 1], starts with 0
    items: npt.NDArray[np.int32]  # [interactions], dense ids
    ended_at_ms: npt.NDArray[np.int64]  # [sessions], instant of the last interaction

    def __post_init__(self) -> None:
        lengths = np.diff(self.offsets)
        whole = len(self.offsets) > 0 and self.offsets[0] == 0 and self.offsets[-1] == len(self.items)
        if not whole or len(lengths) != len(self.ended_at_ms) or (lengths < 0).any():
            raise ValueError(
                f"{len(self.offsets)} offsets do not cut {len(self.items)} items into {len(self.ended_at_ms)} sessions"
            )
        if len(self.items) and self.items.min() < 0:
            raise ValueError("a session log holds known items only; drop unknown ones before building it")

    @classmethod
    def of(cls, sessions: Iterable[tuple[int, Iterable[int]]]) -> Self:
        """Build from pairs of `ended_at_ms` and items, oldest item first."""
        ends: list[int] = []
        items: list[int] = []
        offsets = [0]
        for ended_at_ms, visited in sessions:
            items.extend(visited)
            offsets.append(len(items))
            ends.append(ended_at_ms)
        return cls(np.array(offsets, np.int64), np.array(items, np.int32), np.array(ends, np.int64))

    def __len__(self) -> int:
        return len(self.ended_at_ms)
