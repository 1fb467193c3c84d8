"""What is known of an item whoever asks: how often it was seen lately and ever, since when, and when last."""

from __future__ import annotations

from typing import Final

import numpy as np

from batch.ranking.history import History, Ids
from batch.ranking.sources import Columns, Features

WINDOWS: Final = {"newest": 0.003, "newer": 0.01, "new": 0.05, "newish": 0.2}
"""Decays of recent popularity, as shares of the log's span."""


class ItemFacts:
    """Facts [items] by name, of one history."""

    def __init__(self, history: History) -> None:
        count, span = history.items_count, max(int(np.ptp(history.at_ms)), 1) if len(history.items) else 1
        age = (history.at_ms.max(initial=0) - history.at_ms) / span  # [interactions], 0 = the newest
        oldest = np.zeros(count)
        np.maximum.at(oldest, history.items, age)
        newest = np.ones(count)
        np.minimum.at(newest, history.items, age)
        seen = np.bincount(history.items, minlength=count)
        ends = np.bincount(history.items[history.offsets[1:] - 1], minlength=count)
        facts = {"seen": np.log1p(seen), "since": oldest, "last": newest, "ends": (ends + 1) / (seen + 5)}
        for name, share in WINDOWS.items():
            facts[name] = np.log1p(np.bincount(history.items, np.exp(-age / share), count) / share)
        facts["trend"] = facts["newer"] - facts["newish"]
        self.facts: dict[str, Features] = {name: values.astype(np.float32) for name, values in facts.items()}
        best = [np.argsort(-self.facts[name], kind="stable")[:200] for name in ("newest", "new", "seen")]
        self._popular = {
            name: items.astype(np.int32) for name, items in zip(("newest", "new", "seen"), best, strict=True)
        }
        self.most_seen = np.argsort(-self.facts["new"], kind="stable").astype(np.int32)

    def popular(self, name: str, k: int) -> Ids:
        """The `k` items of highest recent popularity by a window, best first."""
        return self._popular[name][:k]

    def columns(self, candidates: Ids) -> Columns:
        """[queries, candidates] of each fact."""
        items = np.maximum(candidates, 0)
        return {f"item_{name}": values[items] for name, values in self.facts.items()}
