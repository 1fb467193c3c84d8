"""What is known of an item whoever asks: how often it was seen lately and ever, since when, and when last."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from domain.recommenders.compiled import Floats
from domain.recommenders.lineup.queries import Ids, Offsets
from domain.recommenders.stored import read_arrays, write_arrays

WINDOWS: Final = {"newest": 0.003, "newer": 0.01, "new": 0.05, "newish": 0.2}
"""Decays of recent popularity, as shares of the log's span."""
FACTS: Final = ("seen", "since", "last", "ends", *WINDOWS, "trend")
POPULAR_MAX: Final = 250

FILE: Final = "item_facts.npz"
KIND: Final = "item-facts"
FORMAT: Final = 1


class ItemFacts:
    """Facts [items] by name, as of the end of one log."""

    def __init__(self, facts: Mapping[str, Floats]) -> None:
        self.facts = {name: np.asarray(facts[name], np.float32) for name in FACTS}
        self.items_count = len(self.facts["seen"])
        self.features = tuple(f"item_{name}" for name in FACTS)
        self.by_item = np.stack([self.facts[name] for name in FACTS], axis=1)  # [items, facts]
        self.popular = np.stack([_best(self.facts[name])[:POPULAR_MAX] for name in ("newest", "new")])
        """[2, at most POPULAR_MAX], the most popular items by each of two windows, best first."""

    @classmethod
    def of(cls, offsets: Offsets, items: Ids, at_ms: npt.NDArray[np.int64], items_count: int) -> Self:
        """From the interactions of a log by session, each with its instant (or its place in the log)."""
        span = max(int(np.ptp(at_ms)), 1) if len(items) else 1
        age = (at_ms.max(initial=0) - at_ms) / span  # [interactions], 0 = the newest
        oldest = np.zeros(items_count)
        np.maximum.at(oldest, items, age)
        newest = np.ones(items_count)
        np.minimum.at(newest, items, age)
        seen = np.bincount(items, minlength=items_count)
        ends = np.bincount(items[offsets[1:] - 1], minlength=items_count)
        facts = {"seen": np.log1p(seen), "since": oldest, "last": newest, "ends": (ends + 1) / (seen + 5)}
        for name, share in WINDOWS.items():
            facts[name] = np.log1p(np.bincount(items, np.exp(-age / share), items_count) / share)
        facts["trend"] = facts["newer"] - facts["newish"]
        return cls({name: values.astype(np.float32) for name, values in facts.items()})

    @property
    def most_seen(self) -> Ids:
        """All items by their recent popularity, best first."""
        return _best(self.facts["new"])

    def save(self, folder: Path) -> None:
        """Write the facts into `folder`, which exists."""
        write_arrays(folder / FILE, KIND, FORMAT, self.facts)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        return cls(read_arrays(folder / FILE, KIND, FORMAT, FACTS))


def _best(values: Floats) -> Ids:
    return np.argsort(-values, kind="stable").astype(np.int32)
