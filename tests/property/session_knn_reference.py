"""Session-kNN written down from its equations, slowly: the reference that the compiled kernel must equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from domain.recommenders.session_knn_policy import SessionKnnPolicy

DAY_MS = 86_400_000


@dataclass(frozen=True)
class PastSession:
    ended_at_ms: int
    items: tuple[int, ...]


def scores_by_item(
    log: Sequence[PastSession], query: Sequence[int], items_count: int, policy: SessionKnnPolicy
) -> dict[int, np.float32]:
    """The score of every item that scores above zero."""
    # Newest first; of two that ended together the later one in the log is the newer.
    ordered = sorted(enumerate(log), key=lambda pair: (pair[1].ended_at_ms, pair[0]), reverse=True)
    past = [PastSession(s.ended_at_ms, s.items[-policy.session_items_max :]) for _, s in ordered]
    idf = [np.log((len(past) + 1) / max(sum(i in s.items for s in past), 1)) for i in range(items_count)]

    recent = list(query)[-policy.query_items_max :]
    position: dict[int, int] = {}  # of each distinct known item, newest first
    for at, item in enumerate(reversed(recent)):
        if 0 <= item < items_count:
            position.setdefault(item, at)

    similarity: dict[int, float] = {}
    match: dict[int, int] = {}
    for item, at in position.items():
        holders = [number for number, s in enumerate(past) if item in s.items][: policy.sessions_per_item_max]
        weight = np.exp(-at / policy.query_decay_positions) * idf[item] ** policy.similarity_idf_exponent
        for number in holders:
            match.setdefault(number, item)
            similarity[number] = similarity.get(number, 0.0) + weight
    for number in similarity:
        age_days = (past[0].ended_at_ms - past[number].ended_at_ms) / DAY_MS
        recency = max(np.exp(-age_days / policy.recency_decay_days), 1e-6)
        distinct = float(len(set(past[number].items)))
        similarity[number] *= recency / np.float64(distinct) ** policy.length_exponent

    neighbours = set(sorted(similarity, key=lambda n: (-similarity[n], n))[: policy.neighbours_max])
    votes: dict[int, float] = {}
    for number, weight in similarity.items():
        if number in neighbours:
            last_match = np.exp(-position[match[number]] / policy.last_match_decay_positions)
            vote = weight * last_match
            items = past[number].items
            place = max(j for j, item in enumerate(items) if item == match[number])
            for j, item in enumerate(items):
                votes[item] = votes.get(item, 0.0) + vote * span(j - place, policy)
    scores = {item: np.float32(vote * idf[item] ** policy.score_idf_exponent) for item, vote in votes.items()}
    return {item: score for item, score in scores.items() if score > 0}


def span(distance: int, policy: SessionKnnPolicy) -> float:
    """The weight of an item at this distance after (or, negative, before) the match."""
    if distance == 0:
        return policy.repeat_weight
    decay = float(np.exp(-(abs(distance) - 1) / policy.span_decay_positions))
    return decay if distance > 0 else policy.backward_weight * decay
