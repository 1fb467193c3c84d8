"""Predictions of any system for a split, judged by `domain.evaluation`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from domain.evaluation import NOTHING, Evaluation, EvaluationQuery, Interval, Protocol, judge_lists
from domain.evaluation_lists import measure_lists
from domain.recommenders.protocol import Session
from tests.benchmark.quality_splits import Split

K: Final = 20
SEED: Final = 7
NEXT_MEASURES: Final = {"hit_rate": "HR", "reciprocal_rank": "MRR", "ndcg": "NDCG"}
SET_MEASURES: Final = {
    "recall": "R", "precision": "P", "average_precision": "MAP", "rest_ndcg": "NDCGset", "any_hit": "HRany",
}  # fmt: skip
REST_MEASURES: Final = {name: SET_MEASURES[name] for name in ("recall", "precision", "average_precision")}

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A split, ready to judge: dense ids are places among the training log's sorted items, beyond them unknown ones."""

    split: Split
    dense: dict[int, int]
    counts: npt.NDArray[np.int64]  # [items of the training log]
    queries: list[EvaluationQuery]  # all of them, by query id

    @classmethod
    def of(cls, split: Split) -> Sheet:
        """Read a split."""
        item_ids, counts = np.unique(split.train()["item_id"].to_numpy(), return_counts=True)
        dense = {item_id: number for number, item_id in enumerate(item_ids.tolist())}
        asked = split.queries()
        sheet = cls(split, dense, counts, [])
        rows = zip(asked["user_or_session_id"], asked["prefix"], asked["target"], asked["rest"], strict=True)
        for key, prefix, target, rest in rows:
            session = Session(sheet.numbers(prefix))
            sheet.queries.append(EvaluationQuery(key, session, sheet.numbers([target])[0], sheet.numbers(rest)))
        return sheet

    def numbers(self, item_ids: Any) -> tuple[int, ...]:
        """Dense ids; a new number for each item that was not seen before."""
        return tuple(self.dense.setdefault(int(item_id), len(self.dense)) for item_id in item_ids)

    @property
    def protocol(self) -> Protocol:
        """How long lists are, and whether the current item is struck."""
        return Protocol(K, dedup=self.split.judged == "dedup")

    @property
    def measures(self) -> dict[str, str]:
        """What is told of."""
        return SET_MEASURES if self.split.judged == "set" else NEXT_MEASURES | REST_MEASURES


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """Predictions, judged."""

    sheet: Sheet
    asked: list[EvaluationQuery]  # those that count
    lists: npt.NDArray[np.int32]  # [asked, k]
    judged: Evaluation

    def figures(self) -> Figures:
        """Every measure with its interval, and what the lists are worth besides."""
        intervals = self.judged.intervals(np.random.default_rng(SEED))
        nothing = np.full_like(self.lists, NOTHING)
        lists = measure_lists(self.lists, self.asked, self.sheet.counts, nothing, {})
        told = ("answered", "full", "coverage", "popularity", "arp", "gini", "novelty")
        return {
            **{f"{short}@{K}": _rounded(intervals[name]) for name, short in self.sheet.measures.items()},
            "lists": {name: round(getattr(lists, name), 6) for name in told},
        }

    def gain_over(self, other: Marked) -> Figures:
        """The paired gain of every measure."""
        gains = self.judged.gains_over(other.judged, np.random.default_rng(SEED))
        return {f"{short}@{K}": _rounded(gains[name]) for name, short in self.sheet.measures.items()}


def mark(sheet: Sheet, predictions: Path) -> Marked:
    """Judge a file of `query_id, rank, item_id`; a query without rows is a miss."""
    table = pd.read_parquet(predictions).sort_values(["query_id", "rank"], kind="stable")
    ranked: dict[int, list[int]] = {}
    for query_id, item_id in zip(table["query_id"].tolist(), table["item_id"].tolist(), strict=True):
        ranked.setdefault(query_id, []).append(item_id)
    protocol = sheet.protocol
    counting = [number for number, query in enumerate(sheet.queries) if protocol.asked([query])]
    asked = [sheet.queries[number] for number in counting]
    lists = np.full((len(asked), K), NOTHING, np.int32)
    for row, (number, query) in enumerate(zip(counting, asked, strict=True)):
        kept = protocol.kept(sheet.numbers(ranked.get(number, [])), query)
        lists[row, : len(kept)] = kept
    return Marked(sheet, asked, lists, judge_lists(lists, asked))


def _rounded(interval: Interval) -> list[float]:
    return [round(value, 5) for value in interval]
