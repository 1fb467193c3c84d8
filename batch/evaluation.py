"""How good are the models of a run? A temporal split of its own sessions, by the rules of `domain.evaluation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from batch.training.models import baselines
from batch.training.session_log import DatedSessions
from domain.evaluation import Evaluation, EvaluationQuery, evaluate
from domain.recommenders.protocol import Recommender, Session
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_knn_policy import LONG_HISTORIES, SessionKnnPolicy

HELD_OUT: Final = 0.1
QUERIES_MAX: Final = 2_000
SEED: Final = 20
MEASURES: Final = {"hit_rate": "hr20", "reciprocal_rank": "mrr20", "ndcg": "ndcg20"}

POLICIES: Final = {"short_sessions": SessionKnnPolicy(), "long_histories": LONG_HISTORIES}
"""What a log may choose between: visits of a shop, where order and age tell, or many ratings in a row."""

Metrics = dict[str, float]


def choose_policy(sessions: DatedSessions, items_count: int) -> tuple[str, Metrics]:
    """The policy of the highest HR@20 on a validation slice, the first of equal ones, and the figure of each.

    The newest tenth, by which the daily run reports, is left out; of the rest the newest tenth is asked. So no
    figure that is reported was also chosen by.
    """
    older = cut_newest(sessions).known if len(sessions) > 1 else sessions
    if len(older) < 2:
        return next(iter(POLICIES)), {}
    cut = cut_newest(older)
    queries = queries_of(cut.asked, np.random.default_rng(SEED))
    if not queries:
        return next(iter(POLICIES)), {}
    hit_rates = {
        name: round(float(evaluate(SessionKnn.build(cut.known.log, items_count, policy), queries).mean().hit_rate), 6)
        for name, policy in POLICIES.items()
    }
    return max(hit_rates, key=lambda name: hit_rates[name]), hit_rates


@dataclass(frozen=True, slots=True)
class TimeCut:
    """Sessions that had ended before an instant, and those that began at it or later."""

    at_ms: int
    known: DatedSessions
    asked: DatedSessions


def cut_newest(sessions: DatedSessions) -> TimeCut:
    """The newest tenth by start, and what had ended before; sessions across the cut are in neither."""
    at_ms = int(np.quantile(sessions.started_at_ms, 1 - HELD_OUT, method="higher"))
    known = sessions.where(sessions.log.ended_at_ms < at_ms)
    return TimeCut(at_ms, known, sessions.where(sessions.started_at_ms >= at_ms))


def newest_tenth(sessions: DatedSessions) -> DatedSessions:
    """The newest tenth of two sessions or more, by their start."""
    return cut_newest(sessions).asked


def evaluate_systems(cut: TimeCut, items_count: int, systems: Mapping[str, Recommender]) -> Metrics:
    """HR@20, MRR@20 and NDCG@20 of each system and the baselines, each with the bounds of its 95 % interval.

    What began at the cut or later is asked; the systems, as the baselines here, know what had ended before. Repeats in
    a row are not queries: sessions come without them.
    """
    queries = queries_of(cut.asked, np.random.default_rng(SEED))
    metrics: Metrics = {
        "queries": len(queries),
        "sessions_held_out": len(cut.asked),
        "sessions_known": len(cut.known),
    }
    for name, system in {**systems, **baselines(cut.known, items_count, cut.at_ms)}.items():
        metrics |= _measured(name, evaluate(system, queries))
    return metrics


def queries_of(
    sessions: DatedSessions, generator: np.random.Generator, queries_max: int = QUERIES_MAX
) -> list[EvaluationQuery]:
    """Each place of each session but the first, at most `queries_max` of them, drawn evenly.

    A query's `session_key` is the number of its session.
    """
    lengths = np.diff(sessions.log.offsets)
    session_of = np.repeat(np.arange(len(sessions)), lengths)
    place = np.arange(len(session_of)) - sessions.log.offsets[:-1][session_of]
    askable = np.flatnonzero(place > 0)
    if len(askable) > queries_max:
        askable = np.sort(generator.choice(askable, queries_max, replace=False))
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
