"""How good are the models of a run? A temporal split of its own sessions, by the rules of `domain.evaluation`."""

from __future__ import annotations

from typing import Final

import numpy as np

from batch.training.models import baselines
from batch.training.session_log import DatedSessions
from domain.evaluation import Evaluation, EvaluationQuery, evaluate
from domain.recommenders.protocol import Recommender, Session
from domain.recommenders.session_knn import SessionKnn

HELD_OUT: Final = 0.1
QUERIES_MAX: Final = 2_000
SEED: Final = 20
MEASURES: Final = {"hit_rate": "hr20", "reciprocal_rank": "mrr20", "ndcg": "ndcg20"}

Metrics = dict[str, float]


def evaluate_models(sessions: DatedSessions, items_count: int) -> Metrics:
    """HR@20, MRR@20 and NDCG@20 of the session-kNN and its baselines, each with the bounds of its 95 % interval.

    The newest tenth of the sessions, by their start, is asked; the models are built from those that had ended before.
    Sessions across the cut are in neither. Repeats in a row are not queries: sessions come without them.
    """
    if len(sessions) < 2:
        return {"queries": 0.0}
    cut_at_ms = int(np.quantile(sessions.started_at_ms, 1 - HELD_OUT, method="higher"))
    known = sessions.where(sessions.log.ended_at_ms < cut_at_ms)
    asked = sessions.where(sessions.started_at_ms >= cut_at_ms)
    queries = queries_of(asked, np.random.default_rng(SEED))
    systems: dict[str, Recommender] = {"session_knn": SessionKnn.build(known.log, items_count)}
    systems |= baselines(known, items_count, cut_at_ms)
    metrics: Metrics = {"queries": len(queries), "sessions_held_out": len(asked), "sessions_known": len(known)}
    for name, system in systems.items():
        metrics |= _measured(name, evaluate(system, queries))
    return metrics


def queries_of(sessions: DatedSessions, generator: np.random.Generator) -> list[EvaluationQuery]:
    """Each place of each session but the first, at most QUERIES_MAX of them, drawn evenly."""
    lengths = np.diff(sessions.log.offsets)
    session_of = np.repeat(np.arange(len(sessions)), lengths)
    place = np.arange(len(session_of)) - sessions.log.offsets[:-1][session_of]
    askable = np.flatnonzero(place > 0)
    if len(askable) > QUERIES_MAX:
        askable = np.sort(generator.choice(askable, QUERIES_MAX, replace=False))
    return [_query(sessions, int(session_of[at]), int(place[at])) for at in askable]


def _query(sessions: DatedSessions, number: int, place: int) -> EvaluationQuery:
    start, end = sessions.log.offsets[number : number + 2]
    items: list[int] = sessions.log.items[start:end].tolist()
    return EvaluationQuery(number, Session(tuple(items[:place])), items[place], tuple(items[place:]))


def _measured(name: str, evaluation: Evaluation) -> Metrics:
    found: Metrics = {}
    for measure, short in MEASURES.items():
        interval = evaluation.interval(measure, np.random.default_rng(SEED))
        found |= {
            f"{name}_{short}": interval.mean,
            f"{name}_{short}_low": interval.low,
            f"{name}_{short}_high": interval.high,
        }
    return {key: round(value, 6) for key, value in found.items()}
