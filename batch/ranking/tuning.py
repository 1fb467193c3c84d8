"""Policies of the sources that need no training, searched for on the validation slice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np

from batch.ranking.history import History, Questions
from batch.ranking.measures import measure
from batch.ranking.search import Found, Grid, coordinate_search
from domain.recommenders.covisitation import Covisitation, CovisitationPolicy
from domain.recommenders.lineup.sources import CovisitationSource, KnnSource
from domain.recommenders.lineup.striking import Struck, first_kept, surplus
from domain.recommenders.lineup.workers import THREADS
from domain.recommenders.session_index import SessionIndex
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_knn_policy import LONG_HISTORIES, SessionKnnPolicy

K: Final = 20
SPAN_SHARES: Final = (0.03, 0.1, 0.3, 1.0, 3.0, 300.0)
"""Recency decays to try, as shares of the log's span; the last one is none."""

KNN_GRID: Final[Grid] = {
    "sessions_per_item_max": (500, 1000, 2000, 5000),
    "neighbours_max": (50, 100, 200, 500, 1000, 2000),
    "query_items_max": (5, 10, 20, 50),
    "query_decay_positions": (0.7, 1.5, 3.0, 5.0, 8.0, 20.0),
    "last_match_decay_positions": (0.7, 1.5, 4.0, 10.0, 1000.0),
    "span_decay_positions": (0.8, 1.5, 3.0, 6.0, 12.0, 30.0),
    "backward_weight": (0.1, 0.3, 0.5, 0.8, 1.0),
    "repeat_weight": (0.3, 0.6, 1.0, 2.0, 4.0),
    "similarity_idf_exponent": (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
    "score_idf_exponent": (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0),
    "length_exponent": (0.0, 0.25, 0.5, 0.75, 1.0),
}
COVISITATION_GRID: Final[Grid] = {
    "steps_max": (3, 10, 30),
    "step_decay": (0.7, 1.5, 4.0, 12.0),
    "backward_weight": (0.0, 0.2, 0.4, 0.7, 1.0),
    "query_items_max": (1, 3, 10, 20, 50),
    "query_decay_positions": (0.5, 1.0, 2.0, 4.0, 8.0, 20.0),
    "normalisation_exponent": (0.0, 0.25, 0.5, 0.75, 1.0),
}
P = TypeVar("P", SessionKnnPolicy, CovisitationPolicy)

POSTINGS_MAX: Final = 100_000
"""Of one query: a policy that looks at more is too slow to serve."""
TRIALS_WANTED: Final = 40
PROBED: Final = 256
QUESTIONS_LEAST: Final = 500
WHOLE_NUMBERS: Final = ("sessions_per_item_max", "neighbours_max", "query_items_max", "steps_max")


def tune_knn(
    known: History, questions: Questions, struck: Struck, *, seconds_max: float, generator: np.random.Generator
) -> Found[SessionKnnPolicy]:
    """The VSTAN policy of the highest score; the index is built anew only when its shape changes."""
    indices: dict[int, SessionIndex] = {}
    log = known.log

    def score_of(policy: SessionKnnPolicy, asked: Questions | None = None) -> float:
        if policy.query_items_max * policy.sessions_per_item_max > POSTINGS_MAX:
            return -np.inf
        if policy.sessions_per_item_max not in indices:
            indices.clear()
            indices[policy.sessions_per_item_max] = SessionIndex.build(log, known.items_count, policy)
        index = indices[policy.sessions_per_item_max]
        return _score(KnnSource(SessionKnn(index, policy)), asked or questions, struck, known.items_count)

    span = known.span_days
    starts = [
        replace(policy, session_items_max=500, recency_decay_days=span * share)
        for policy, share in ((SessionKnnPolicy(), 1.0), (LONG_HISTORIES, 300.0), (SessionKnnPolicy(), 0.1))
    ]
    questions = _affordable(partial(score_of, starts[0]), questions, seconds_max, generator)
    grid = {**KNN_GRID, "recency_decay_days": tuple(span * share for share in SPAN_SHARES)}
    return coordinate_search(starts, grid, _changed, score_of, seconds_max=seconds_max, generator=generator)


def tune_covisitation(
    known: History, questions: Questions, struck: Struck, *, seconds_max: float, generator: np.random.Generator
) -> Found[CovisitationPolicy]:
    """The co-visitation policy of the highest score; rows are built anew only when their shape changes."""
    rows: dict[tuple[float, ...], Covisitation] = {}

    def score_of(policy: CovisitationPolicy, asked: Questions | None = None) -> float:
        shape = (policy.steps_max, policy.step_decay, policy.recency_decay_days, policy.neighbours_max)
        if shape not in rows:
            rows.clear()
            rows[shape] = build_covisitation(known, policy)
        source = CovisitationSource(Covisitation(rows[shape].rows, policy))
        return _score(source, asked or questions, struck, known.items_count)

    span = known.span_days
    starts = [
        CovisitationPolicy(recency_decay_days=span),
        CovisitationPolicy(steps_max=30, step_decay=4.0, recency_decay_days=300 * span, query_decay_positions=4.0),
    ]
    questions = _affordable(partial(score_of, starts[0]), questions, seconds_max, generator)
    grid = {**COVISITATION_GRID, "recency_decay_days": tuple(span * share for share in SPAN_SHARES)}
    return coordinate_search(starts, grid, _changed, score_of, seconds_max=seconds_max, generator=generator)


def _affordable(
    ask: Callable[[Questions], float], questions: Questions, seconds_max: float, generator: np.random.Generator
) -> Questions:
    """As many of the questions as let there be `TRIALS_WANTED` trials, by the time that a few of them take."""
    few = questions.sample(PROBED, generator)
    ask(few)  # compiles and builds
    began = time.perf_counter()
    ask(few)
    each_s = (time.perf_counter() - began) / max(len(few), 1)
    return questions.sample(max(int(seconds_max / TRIALS_WANTED / max(each_s, 1e-9)), QUESTIONS_LEAST), generator)


def build_covisitation(history: History, policy: CovisitationPolicy) -> Covisitation:
    """The rows of a history, with the age of each interaction."""
    return Covisitation.build(history.log, history.items_count, policy, at_ms=history.at_ms, threads=THREADS)


def _score(source: KnnSource | CovisitationSource, questions: Questions, struck: Struck, items_count: int) -> float:
    lists = source.top(questions.queries, K + surplus(struck))
    return measure(first_kept(lists, questions.queries, struck, items_count, K), questions).score


def _changed(policy: P, name: str, value: float) -> P:
    changes: dict[str, Any] = {name: int(value) if name in WHOLE_NUMBERS else value}
    return replace(policy, **changes)
