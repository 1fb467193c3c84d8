"""One trivial model under two protocols: every item ranked, and the target against 19 items drawn at random.

The model is item-kNN without any tuning: cosine between the users of two items, summed over the user's items (Sarwar et
al., WWW 2001). Items that the user had are struck in both protocols. What differs is only how many items compete.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tests.benchmark.quality_judging import Sheet

K: Final = 10
NEGATIVES: Final = 19
SEED: Final = 19
AT_ONCE: Final = 256

Scores = npt.NDArray[np.float32]


def both_protocols(sheet: Sheet) -> dict[str, Any]:
    """HR@10 of item-kNN and of no model at all, under both protocols, on the same queries."""
    users_of = _users_of_items(sheet)
    generator = np.random.default_rng(SEED)
    ranks: dict[str, list[int]] = {"full": [], "sampled": []}
    known = [query.target < users_of.shape[1] for query in sheet.queries]
    for start in range(0, len(sheet.queries), AT_ONCE):
        queries = sheet.queries[start : start + AT_ONCE]
        scores = _scores(users_of, [query.prefix.items for query in queries])
        for query, of_items in zip(queries, scores, strict=True):
            had = {item for item in query.prefix.items if item < len(of_items)}
            rank = _full_rank(of_items, query.target, had)
            ranks["full"].append(rank)
            ranks["sampled"].append(_sampled_rank(of_items, query.target, had, generator))
    items = users_of.shape[1]
    return {
        "model": "item-kNN: cosine over users, summed",
        "queries": len(sheet.queries),
        f"full_HR@{K}": _hit_rate(ranks["full"]),
        f"sampled_HR@{K}": _hit_rate(ranks["sampled"]),
        f"full_HR@{K}_by_chance": round(K / items, 4),
        f"sampled_HR@{K}_by_chance": K / (NEGATIVES + 1),
        "known_targets": round(float(np.mean(known)), 4),
        f"full_HR@{K}_of_known_targets": _hit_rate(ranks["full"], known),
        f"sampled_HR@{K}_of_known_targets": _hit_rate(ranks["sampled"], known),
        "items_ranked": {"full": items, "sampled": NEGATIVES + 1},
    }


def _users_of_items(sheet: Sheet) -> Scores:
    """[users, items], each item's column of length 1."""
    train = sheet.split.train()
    users, user_of = np.unique(train["user_or_session_id"].to_numpy(), return_inverse=True)
    matrix = np.zeros((len(users), len(sheet.counts)), np.float32)
    matrix[user_of, list(sheet.numbers(train["item_id"]))] = 1
    matrix /= np.linalg.norm(matrix, axis=0)
    return matrix


def _scores(users_of: Scores, prefixes: list[tuple[int, ...]]) -> Scores:
    """[queries, items]: cosines of all items with the items of each prefix, summed."""
    items = users_of.shape[1]
    profiles = np.stack([users_of[:, [item for item in prefix if item < items]].sum(axis=1) for prefix in prefixes])
    found: Scores = profiles @ users_of
    return found


def _full_rank(scores: Scores, target: int, had: set[int]) -> int:
    """The place of the target among all items that the user did not have; 0 when it is not among them."""
    if target >= len(scores) or target in had:
        return 0
    better = scores > scores[target]
    better[list(had)] = False
    return int(better.sum()) + 1


def _sampled_rank(scores: Scores, target: int, had: set[int], generator: np.random.Generator) -> int:
    """The place of the target among itself and others that are drawn; 0 when the model does not know it."""
    if target >= len(scores) or target in had:
        return 0
    drawn: list[int] = []
    while len(drawn) < NEGATIVES:
        item = int(generator.integers(len(scores)))
        if item != target and item not in had:
            drawn.append(item)
    return int((scores[drawn] > scores[target]).sum()) + 1


def _hit_rate(ranks: list[int], counted: list[bool] | None = None) -> float:
    hits = np.array([1 <= rank <= K for rank in ranks])
    return round(float(hits[counted].mean() if counted else hits.mean()), 4)
