"""`python -m batch rank-sessions`: from a log and questions to ranked answers, within a given time.

The newest part of the log is kept back; models are tuned on it, trained without it, and their candidates are ranked by
what is learnt from it; then the models are built again on everything. The time that is given only chooses how much is
tried: what was chosen is told as a manifest, and a run by a manifest gives the same answers on any day.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from batch.ranking.budget import Budget, peak_memory_mb
from batch.ranking.candidates import Lineup
from batch.ranking.files import answers_of, read_queries, read_training, write_answers
from batch.ranking.fusion import Fusion, learn_fusion
from batch.ranking.history import History, Ids, Queries
from batch.ranking.item_facts import ItemFacts
from batch.ranking.lineup import ENCODERS, Choice, Chosen, choose, line_up
from batch.ranking.measures import measure
from batch.ranking.slices import validation_slice
from batch.ranking.striking import AllowCurrent, Struck, answerable, first_kept, first_rule, surplus

QUESTIONS_MAX = 14_000
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
    choice, told = _choice(request, history, budget, tell)
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


def _choice(
    request: Request, history: History, budget: Budget, tell: Callable[[str], None]
) -> tuple[Choice, dict[str, Any]]:
    with budget.step("split"):
        cut = validation_slice(history)
        questions = cut.questions.sample(QUESTIONS_MAX, np.random.default_rng(request.seed))
        struck = first_rule(cut.known, questions, request.allow_current)
        questions = answerable(questions, struck)
    told = {
        "interactions": len(history.items),
        "sessions": len(history),
        "items": history.items_count,
        "dated": history.is_dated,
        "baskets": cut.has_baskets,
        "questions": len(questions),
    }
    tell(f"{told}, struck: {struck}")
    known = cut.known if len(cut.known.items) else history
    return Choice(known, questions, struck, budget, request.seed, tell, request.manifest), told


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
    chosen = _chosen_side_by_side(choice)
    lineup = Lineup([each.source for each in chosen], choice.known, choice.struck)
    fusion: Fusion = learn_fusion(lineup, choice, request.allow_current, len(queries))
    with choice.budget.step("rebuild"):
        rebuilt = [each.rebuild(history) for each in chosen]
    lineup = Lineup([source for source, _ in rebuilt], history, choice.struck)
    began = time.perf_counter()
    with choice.budget.step("answer"):
        parts = [
            fusion.answer(lineup, queries.between(first, min(first + ANSWERED_AT_ONCE, len(queries))), request.k)
            for first in range(0, len(queries), ANSWERED_AT_ONCE)
        ]
    seconds = time.perf_counter() - began
    manifest = {each.name: each.manifest | added for each, (_, added) in zip(chosen, rebuilt, strict=True)}
    told = {"ranked_by": fusion.by, "validation": fusion.told, "chosen": {each.name: each.told for each in chosen}}
    return Answered(np.concatenate(parts), fusion.struck, seconds, manifest | {"fusion": fusion.manifest}, told)


def _chosen_side_by_side(choice: Choice) -> list[Chosen]:
    """All models of the line-up: what is trained on one core, while what is searched for has the other."""
    names = line_up(choice.known)
    with ThreadPoolExecutor(1) as beside:
        trained = {name: beside.submit(choose, name, choice) for name in names if name in ENCODERS}
        searched = {name: choose(name, choice) for name in names if name not in ENCODERS}
        return [searched[name] if name in searched else trained[name].result() for name in names]


def _filled(ranked: Ids, queries: Queries, history: History, struck: Struck, k: int) -> Ids:
    """Short lists are filled up with what is popular lately; who has no known item gets only that."""
    width = min(k, history.items_count)
    short = np.flatnonzero((ranked >= 0).sum(axis=1) < width)
    if not len(short):
        return ranked
    popular = ItemFacts(history).most_seen[: 2 * k + surplus(struck)]
    rows = ranked[short]
    fill = np.repeat(popular[None], len(short), 0)
    for at in range(rows.shape[1]):
        fill[fill == rows[:, at : at + 1]] = -1
    filled = ranked.copy()
    longer = np.concatenate((rows, fill), axis=1)
    filled[short] = first_kept(longer, queries.part(short), struck, history.items_count, ranked.shape[1])
    return filled
