"""Cold start: what a new visitor's first words are worth, against popularity. `make bench-cold-start DATA=folder`.

`folder` holds `events.parquet` (user_or_session_id, item_id, timestamp and, where there are any, rating) and perhaps
`items.parquet` (item_id and genres or categories, `a|b`). Visitors who first come in the last fifth of all visitors'
beginnings are new; models learn from what everybody did before that. Each new visitor is asked three times:

- *one click*: their first item is known; wanted are the ten after it;
- *favourites*: of their first ten items the three that they rated best (else the first three); wanted the ten after;
- *categories*: the two categories that stand most often in their first ten items; wanted the ten after.

Lists are fused as the server fuses those of newcomers (`domain.newcomers`, `domain.slates.fuse`) of the session-kNN,
what is popular in the named categories, and what is popular. What is known of the visitor is struck from every list,
from that of popularity too.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from domain.newcomers import WEIGHTS
from domain.recommenders.protocol import Session
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from domain.slates import Candidate, Source, fuse
from tests.benchmark.machine import commit, keep, machine

K: Final = 20
WANTED: Final = 10
FIRST: Final = 10
FAVOURITES: Final = 3
CATEGORIES: Final = 2
NEW_SHARE: Final = 0.2
RESAMPLES: Final = 2_000
PROPOSED: Final = 100


@dataclass(frozen=True, slots=True)
class Question:
    """What a new visitor has said, and what they took next. `struck` is what they are known to have had."""

    said: tuple[int, ...]
    categories: tuple[str, ...]
    struck: frozenset[int]
    wanted: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Shop:
    """What was known before the new visitors came; items are dense ids."""

    knn: SessionKnn
    popular: Sequence[tuple[int, float]]
    categories: Mapping[int, tuple[str, ...]]

    def list_for(self, question: Question) -> list[int]:
        """The best `K` items by all that was said."""
        candidates = [Candidate(str(item), Source.POPULAR, score) for item, score in self.popular[:PROPOSED]]
        if question.said:
            ranking = self.knn.rank(Session(question.said), PROPOSED)
            scored = zip(ranking.items.tolist(), ranking.scores.tolist(), strict=True)
            candidates += [Candidate(str(item), Source.SESSION, score) for item, score in scored]
        for category in question.categories:
            found = [each for each in self.popular if category in self.categories.get(each[0], ())][:PROPOSED]
            candidates += [Candidate(str(item), Source.CATEGORY, score / found[0][1]) for item, score in found]
        return _cut((int(each.item_id) for each in fuse(candidates, WEIGHTS)), question.struck)

    def popular_for(self, question: Question) -> list[int]:
        """What everybody takes."""
        return _cut((item for item, _ in self.popular), question.struck)


def _cut(items: Any, struck: frozenset[int]) -> list[int]:
    return [item for item in items if item not in struck][:K]


def split(events: pd.DataFrame, named: Mapping[Any, tuple[str, ...]]) -> tuple[Shop, list[pd.DataFrame]]:
    """The shop before the new visitors came, and the log of each of them, by dense items; unknown items are -1."""
    events = events.sort_values(["timestamp", "user_or_session_id", "item_id"], kind="stable")
    begun = events.groupby("user_or_session_id")["timestamp"].min().sort_values()
    cut = begun.iloc[int(len(begun) * (1 - NEW_SHARE))]
    before = events[events["timestamp"] < cut]
    dense = {item: place for place, item in enumerate(before["item_id"].unique())}
    events = events.assign(item=events["item_id"].map(dense).fillna(-1).astype(int))
    before = events[events["timestamp"] < cut]
    log = SessionLog.of(
        (int(each["timestamp"].iloc[-1]), each["item"].tolist()) for _, each in before.groupby("user_or_session_id")
    )
    counts = Counter(before["item"].tolist())
    popular = sorted(((item, float(count)) for item, count in counts.items()), key=lambda each: (-each[1], each[0]))
    categories = {dense[item]: names for item, names in named.items() if item in dense}
    new = events[events["user_or_session_id"].isin(begun.index[begun >= cut])]
    logs = [each for _, each in new.groupby("user_or_session_id")]
    return Shop(SessionKnn.build(log, len(dense)), popular, categories), logs


def one_click(log: pd.DataFrame, shop: Shop) -> Question | None:
    """The first item is known."""
    del shop
    items = log["item"].tolist()
    if len(items) < 2 or items[0] < 0:
        return None
    return Question((items[0],), (), frozenset(items[:1]), tuple(items[1 : 1 + WANTED]))


def favourites(log: pd.DataFrame, shop: Shop) -> Question | None:
    """The best of the first items are named."""
    del shop
    if len(log) <= FIRST:
        return None
    first, after = log.iloc[:FIRST], log["item"].tolist()[FIRST : FIRST + WANTED]
    ordered = first.sort_values("rating", ascending=False, kind="stable") if "rating" in first else first
    said = tuple(item for item in ordered["item"].tolist() if item >= 0)[:FAVOURITES]
    return Question(said[::-1], (), frozenset(first["item"]), tuple(after)) if said else None


def categories(log: pd.DataFrame, shop: Shop) -> Question | None:
    """The categories that stand most often in the first items are named."""
    if len(log) <= FIRST:
        return None
    first, after = log["item"].tolist()[:FIRST], log["item"].tolist()[FIRST : FIRST + WANTED]
    met = Counter(category for item in first for category in shop.categories.get(item, ()))
    said = tuple(category for category, _ in sorted(met.items(), key=lambda each: (-each[1], each[0]))[:CATEGORIES])
    return Question((), said, frozenset(first), tuple(after)) if said else None


ASKED: Final[Mapping[str, Callable[[pd.DataFrame, Shop], Question | None]]] = {
    "one click": one_click,
    "favourites": favourites,
    "categories": categories,
}


def measured(shop: Shop, questions: Sequence[Question]) -> dict[str, Any]:
    """HR@20 of the next item and recall@20 of the next ten, of both lists, and the paired gain with its interval."""
    ours = np.array([_marks(shop.list_for(each), each.wanted) for each in questions])
    popular = np.array([_marks(shop.popular_for(each), each.wanted) for each in questions])
    generator = np.random.default_rng(7)
    drawn = generator.integers(0, len(questions), (RESAMPLES, len(questions)))
    found: dict[str, Any] = {"visitors": len(questions)}
    for column, name in enumerate(("hr20", "recall20")):
        gains = ours[:, column] - popular[:, column]
        low, high = np.quantile(gains[drawn].mean(axis=1), [0.025, 0.975])
        found[name] = {
            "ours": round(float(ours[:, column].mean()), 4),
            "popularity": round(float(popular[:, column].mean()), 4),
            "gain": [round(float(each), 4) for each in (gains.mean(), low, high)],
        }
    return found


def _marks(shown: Sequence[int], wanted: Sequence[int]) -> tuple[float, float]:
    return float(wanted[0] in shown), len(set(shown) & set(wanted)) / len(set(wanted))


def categories_of(path: Path) -> dict[Any, tuple[str, ...]]:
    """By item its categories; none without the file."""
    if not path.exists():
        return {}
    items = pd.read_parquet(path)
    column = next((name for name in ("genres", "categories", "category") if name in items), None)
    if column is None:
        return {}
    return {
        item: tuple(text.split("|")) if isinstance(text, str) else tuple(text)
        for item, text in zip(items["item_id"], items[column], strict=True)
    }


def main(arguments: Sequence[str]) -> int:
    """Measure each log in the folder and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    told: dict[str, Any] = {"machine": machine(), "commit": commit(), "logs": {}}
    for path in sorted(parser.parse_args(arguments).data.glob("**/events.parquet")):
        shop, logs = split(pd.read_parquet(path), categories_of(path.parent / "items.parquet"))
        figures: dict[str, Any] = {}
        for name, question_of in ASKED.items():
            questions = [each for log in logs if (each := question_of(log, shop)) is not None]
            if questions:
                figures[name] = measured(shop, questions)
                print(path.parent.name, name, figures[name], flush=True)
        told["logs"][path.parent.name] = figures
        keep("cold_start.json", told)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
