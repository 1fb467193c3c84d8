"""Splits of public logs into what may be learnt from and what is asked, each by a cut in time.

A split is a folder with `train.parquet` (user_or_session_id, item_id, event_type, timestamp) and `queries.parquet`
(query_id, user_or_session_id, timestamp, prefix, target, rest): what `python -m batch rank-sessions` reads. A query is
asked at `target`, knowing `prefix`; `rest` is the target and all that follows it in its session or basket.

- Sessions that come with a split of their own (a column `split`): train on `train`, ask at each place of `test` but the
  first.
- Ratings: cut at the 90 % quantile of time. Each later rating of a user who rated before is asked, knowing the last
  200 ratings of the user until then.
- Invoices: the last 30 days. Each invoice of a known customer is asked as one basket.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

Judged = Literal["next", "dedup", "set"]
PREFIX_MAX: Final = 200
RATINGS_KNOWN: Final = 0.9
INVOICES_S: Final = 30 * 86_400
TRAIN_COLUMNS: Final = ["user_or_session_id", "item_id", "event_type", "timestamp"]
QUERY_COLUMNS: Final = ["user_or_session_id", "timestamp", "prefix", "target", "rest"]
JUDGED: Final[dict[str, Judged]] = {"serenade_toy": "dedup", "online_retail_basket": "set"}
"""How the queries of a split are judged, where not by the next item: without immediate repeats, or as a basket."""


@dataclass(frozen=True, slots=True)
class Split:
    """A split on disk."""

    folder: Path

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.folder.name

    @property
    def judged(self) -> Judged:
        """How its queries are judged."""
        return JUDGED.get(self.name, "next")

    def train(self) -> pd.DataFrame:
        """What may be learnt from."""
        return pd.read_parquet(self.folder / "train.parquet")

    def queries(self) -> pd.DataFrame:
        """What is asked."""
        return pd.read_parquet(self.folder / "queries.parquet")


def splits_of(source: Path | None, folder: Path) -> list[Split]:
    """The splits that `source` has, or those of the logs in it, written into `folder`; without one a made-up log's."""
    if source is None:
        return [_write(folder, "made_up", made_up_log())]
    ready = sorted(path.parent for path in source.glob("*/queries.parquet"))
    if ready:
        return [Split(path) for path in ready]
    logs = {path.parent.name: pd.read_parquet(path) for path in sorted(source.glob("*/events.parquet"))}
    return [_write(folder, name, log) for name, log in logs.items()]


def made_up_log(sessions: int = 4_000, items: int = 1_500) -> pd.DataFrame:
    """Sessions that walk with small steps along a ring of items, popular places first; the newest eighth is asked."""
    generator = np.random.default_rng(20_261_122)
    lengths = np.minimum(2 + generator.geometric(0.25, size=sessions), 50)
    starts = (generator.zipf(1.3, size=sessions) * 7919) % items
    walks = [
        (start + np.cumsum(generator.integers(-3, 4, size=length))) % items
        for start, length in zip(starts, lengths, strict=True)
    ]
    session_of = np.repeat(np.arange(sessions), lengths)
    place = np.concatenate([np.arange(length) for length in lengths])
    return pd.DataFrame(
        {
            "user_or_session_id": session_of,
            "item_id": np.concatenate(walks),
            "event_type": "view",
            "timestamp": session_of * 3_600.0 + place * 10,
            "split": np.where(session_of < sessions * 7 // 8, "train", "test"),
        }
    )


def _write(folder: Path, name: str, log: pd.DataFrame) -> Split:
    if "split" in log:
        train, queries = sessions_split(log)
    elif "rating" in log:
        name, (train, queries) = f"{name}_temporal", ratings_split(log)
    else:
        name, (train, queries) = f"{name}_basket", invoices_split(log)
    split = Split(folder / name)
    split.folder.mkdir(parents=True, exist_ok=True)
    queries.insert(0, "query_id", range(len(queries)))
    train.to_parquet(split.folder / "train.parquet", index=False)
    queries.to_parquet(split.folder / "queries.parquet", index=False)
    return split


def sessions_split(log: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and queries of sessions whose split is shipped."""
    log = log.sort_values(["user_or_session_id", "timestamp"], kind="stable")
    rows: list[tuple[Any, ...]] = []
    for key, session in log[log["split"] == "test"].groupby("user_or_session_id", sort=False):
        items, instants = session["item_id"].tolist(), session["timestamp"].tolist()
        rows += [(key, instants[at], items[:at], items[at], items[at:]) for at in range(1, len(items))]
    return log.loc[log["split"] == "train", TRAIN_COLUMNS], pd.DataFrame(rows, columns=QUERY_COLUMNS)


def ratings_split(log: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and queries of ratings."""
    log = log.sort_values(["timestamp", "user_or_session_id"], kind="stable")
    cut_at = log["timestamp"].quantile(RATINGS_KNOWN)
    known: dict[Any, list[int]] = defaultdict(list)
    after: dict[Any, list[int]] = defaultdict(list)
    asked: list[tuple[Any, float, list[int], int, int]] = []
    for key, item, at in log[["user_or_session_id", "item_id", "timestamp"]].itertuples(index=False):
        if at >= cut_at and known[key]:
            asked.append((key, float(at), known[key][-PREFIX_MAX:], item, len(after[key])))
            after[key].append(item)
        known[key].append(item)
    rows = [(key, at, prefix, item, after[key][place:]) for key, at, prefix, item, place in asked]
    return log.loc[log["timestamp"] < cut_at, TRAIN_COLUMNS], pd.DataFrame(rows, columns=QUERY_COLUMNS)


def invoices_split(log: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and queries of purchases; those of one customer at one instant are an invoice."""
    log = log[log["event_type"] == "purchase"].sort_values(["timestamp", "user_or_session_id"], kind="stable")
    cut_at = log["timestamp"].max() - INVOICES_S
    known: dict[Any, list[int]] = defaultdict(list)
    rows: list[tuple[Any, ...]] = []
    for (at, key), invoice in log.groupby(["timestamp", "user_or_session_id"], sort=True):
        basket = list(dict.fromkeys(invoice["item_id"].tolist()))
        if at >= cut_at and known[key]:
            rows.append((key, at, known[key][-PREFIX_MAX:], basket[0], basket))
        known[key].extend(basket)
    return log.loc[log["timestamp"] < cut_at, TRAIN_COLUMNS], pd.DataFrame(rows, columns=QUERY_COLUMNS)
