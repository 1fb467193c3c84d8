"""`python -m batch rank-sessions`: from a log and questions to ranked answers, within a given time.

The newest part of the log is kept back; models are tuned on it, trained without it, and their candidates are ranked by
what is learnt from it; then the models are built again on everything. The time that is given only chooses how much is
tried: what was chosen is told as a manifest, and a run by a manifest gives the same answers on any day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from batch.ranking.budget import Budget, peak_memory_mb
from batch.ranking.files import answers_of, read_queries, read_training, write_answers
from batch.ranking.history import History
from batch.ranking.learning import learn, prepare
from batch.ranking.lineup import AUTO, Choice, choose
from batch.ranking.measures import measure
from batch.ranking.striking import AllowCurrent
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.striking import Struck, first_kept, surplus

ANSWERED_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    train: Path
    queries: Path
    out: Path
    k: int = 21
    model: str = "auto"
    allow_current: AllowCurrent = "auto"
    minutes: float = 30.0
    seed: int = 1
    manifest: Mapping[str, Any] = field(default_factory=dict)  # of an earlier run: nothing is searched for


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """Ranked dense items [queries, k], -1 where there are no more, and how they were come by."""

    ranked: Ids
    struck: Struck
    seconds: float
    manifest: dict[str, Any]
    told: dict[str, Any]


def rank_sessions(request: Request, tell: Callable[[str], None]) -> dict[str, Any]:
    """Answer all questions; returns what was chosen, how good it was on the slice, and what it cost.

    Raises `UnusableFile`.
    """
    budget = Budget(request.minutes)
    with budget.step("read"):
        training = read_training(request.train)
        asked = read_queries(request.queries, training.item_ids)
    history = training.history
    tell(f"{len(history.items)} interactions of {history.items_count} items, {len(asked.queries)} queries")
    choice, told = prepare(history, budget, request.seed, request.allow_current, request.manifest, tell)
    choice = replace(choice, proposes_max=history.items_count)  # nobody waits for an answer, as they do of a server
    answer = _fused if request.model == "auto" else _single
    answered = answer(choice, history, asked.queries, request)
    ranked = _filled(answered.ranked, asked.queries, history, answered.struck, request.k)
    latency_us = answered.seconds / len(asked.queries) * 1e6
    with budget.step("write"):
        write_answers(request.out, asked, *answers_of(ranked, training.item_ids), latency_us)
    return {
        "model": request.model,
        **told,
        "struck": answered.struck,
        **answered.told,
        "manifest": answered.manifest,
        "latency_us": round(latency_us, 1),
        "seconds": budget.seconds,
        "total_s": round(budget.spent_s, 1),
        "peak_memory_mb": peak_memory_mb(),
    }


def _single(choice: Choice, history: History, queries: Queries, request: Request) -> Answered:
    """One model alone."""
    name, k, struck = request.model, request.k, choice.struck
    chosen = choose(name, choice)
    lists = chosen.source.top(choice.questions.queries, k + surplus(struck))
    kept = first_kept(lists, choice.questions.queries, struck, history.items_count, k)
    validation = {name: measure(kept, choice.questions)}
    with choice.budget.step("rebuild"):
        source, added = chosen.rebuild(history)
    began = time.perf_counter()
    with choice.budget.step("answer"):
        lists = source.top(queries, k + surplus(struck))
        ranked = first_kept(lists, queries, struck, history.items_count, k)
    manifest = {name: chosen.manifest | added}
    told = {"validation": validation, "chosen": {name: chosen.told}}
    return Answered(ranked, struck, time.perf_counter() - began, manifest, told)


def _fused(choice: Choice, history: History, queries: Queries, request: Request) -> Answered:
    """The shipped line-up: sources, then what ranks their candidates best."""
    found = learn(choice, request.allow_current, len(queries), AUTO)
    lineup, manifest = found.rebuild_all(history)
    fusion = found.learnt.fusion
    began = time.perf_counter()
    with choice.budget.step("answer"):
        parts = [
            fusion.answer(lineup, queries.between(first, min(first + ANSWERED_AT_ONCE, len(queries))), request.k)
            for first in range(0, len(queries), ANSWERED_AT_ONCE)
        ]
    seconds = time.perf_counter() - began
    return Answered(np.concatenate(parts), fusion.struck, seconds, manifest, found.told)


def _filled(ranked: Ids, queries: Queries, history: History, struck: Struck, k: int) -> Ids:
    """Short lists are filled up with what is popular lately; who has no known item gets only that."""
    width = min(k, history.items_count)
    short = np.flatnonzero((ranked >= 0).sum(axis=1) < width)
    if not len(short):
        return ranked
    popular = history.facts.most_seen[: 2 * k + surplus(struck)]
    rows = ranked[short]
    fill = np.repeat(popular[None], len(short), 0)
    for at in range(rows.shape[1]):
        fill[fill == rows[:, at : at + 1]] = -1
    filled = ranked.copy()
    longer = np.concatenate((rows, fill), axis=1)
    filled[short] = first_kept(longer, queries.part(short), struck, history.items_count, ranked.shape[1])
    return filled
