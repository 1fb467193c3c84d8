"""May a new artifact take the place of the current one? Not worse on the same questions, quick enough, small enough.

Held out from both: the sessions that began after the current artifact's cutoff. The current artifact answers as it is;
for the new one, which was made of these sessions too, answers a *twin*: the same procedure on the sessions that had
ended at that cutoff. When too few sessions have begun since, both artifacts answer as they are on the newest tenth of
the log, which both have seen: that finds a broken model, and says little of a slightly better or worse one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np

from batch.evaluation import SEED, newest_tenth, queries_of
from batch.training.session_log import DatedSessions
from domain.artifacts import Artifact
from domain.evaluation import Evaluation, EvaluationQuery, Interval, evaluate
from domain.recommenders.protocol import Recommender, Session
from domain.recommenders.vocabulary import Vocabulary
from infra.settings import GateSettings

MEASURES: Final = {"hit_rate": "hr20", "reciprocal_rank": "mrr20"}
TIMED_MAX: Final = 1_000
WARMING: Final = 20
RANKED: Final = 100
"""As many candidates as a request asks for, more or less."""

Basis = Literal["held_out", "seen_by_both", "nothing"]
Twin = Callable[[int], Recommender]
"""Makes the new model's twin from the sessions that had ended before an instant, over the new vocabulary."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says of a version, why, and all that it measured."""

    version: str
    promoted: bool
    reason: str
    against: str | None = None
    basis: Basis = "nothing"
    figures: dict[str, float] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Contender:
    """Who answers, with the vocabulary that its dense ids are of."""

    recommender: Recommender
    vocabulary: Vocabulary

    @classmethod
    def of(cls, artifact: Artifact) -> Contender:
        """An artifact as it ranks in a server."""
        return cls(artifact.model, artifact.vocabulary)


@dataclass(frozen=True, slots=True, eq=False)
class Newcomer:
    """The artifact at the gate, the sessions that it was made of in its own dense ids, and how to make its twin."""

    artifact: Artifact
    sessions: DatedSessions
    twin: Twin

    def questions_since(self, at_ms: int) -> list[EvaluationQuery]:
        """Questions from the sessions that began at an instant or later."""
        return _questions(self.sessions.where(self.sessions.started_at_ms >= at_ms))

    def newest_questions(self) -> list[EvaluationQuery]:
        """Questions from the newest tenth of the sessions."""
        return _questions(newest_tenth(self.sessions)) if len(self.sessions) > 1 else []


def judge(newcomer: Newcomer, current: Artifact | None, folder: Path, limits: GateSettings) -> Verdict:
    """The verdict on an artifact that lies in `folder`; `current` is None when there is none that could be served."""
    version = newcomer.artifact.version
    if current is not None and current.version == version:
        return Verdict(version=version, promoted=True, reason="it is the current one", against=version)
    figures = {"size_mb": size_mb(folder), "rank_p99_ms": rank_p99_ms(newcomer)}
    refusals = list(_over_limits(figures, limits))
    basis: Basis = "nothing"
    finding = "there is no current artifact to compare it with"
    if current is not None:
        basis, ours, theirs = _compare(newcomer, current, limits.queries_min)
        figures |= _figures(ours, theirs)
        finding, is_worse = _finding(basis, figures, current.version, limits)
        refusals = [finding, *refusals] if is_worse else refusals
    return Verdict(
        version=version,
        promoted=not refusals,
        reason="; ".join(refusals) or finding,
        against=current.version if current else None,
        basis=basis,
        figures={name: round(value, 6) for name, value in figures.items()},
    )


def size_mb(folder: Path) -> float:
    """What the artifact takes on disk, in MB of 10^6 bytes."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def rank_p99_ms(newcomer: Newcomer) -> float:
    """The 99th percentile of what one ranking of the artifact costs this thread; 0 without questions.

    Time on the processor and not on the clock: a busy machine makes no model slow.
    """
    recommender = Contender.of(newcomer.artifact).recommender
    questions = newcomer.newest_questions()[:TIMED_MAX]
    for question in questions[:WARMING]:
        recommender.rank(question.prefix, RANKED)
    taken_ns = []
    for question in questions:
        started_ns = time.thread_time_ns()
        recommender.rank(question.prefix, RANKED)
        taken_ns.append(time.thread_time_ns() - started_ns)
    return float(np.percentile(taken_ns, 99)) / 1e6 if taken_ns else 0.0


def in_words_of(questions: Sequence[EvaluationQuery], asked: Vocabulary, answers: Vocabulary) -> list[EvaluationQuery]:
    """The same questions in another vocabulary's dense ids; what it does not know is a miss, never left out."""
    dense_of = [answers.dense(item_id) for item_id in asked.item_ids]
    ids = [-2 - number if dense is None else dense for number, dense in enumerate(dense_of)]
    return [
        EvaluationQuery(
            question.session_key,
            Session(tuple(ids[item] for item in question.prefix.items if ids[item] >= 0)),
            ids[question.target],
            tuple(ids[item] for item in question.rest),
        )
        for question in questions
    ]


def gains(ours: Evaluation, theirs: Evaluation) -> dict[str, Interval]:
    """The paired difference of each measure with its 95 % interval; above 0 the newcomer is better."""
    return {short: ours.gain_over(theirs, measure, np.random.default_rng(SEED)) for measure, short in MEASURES.items()}


def _compare(newcomer: Newcomer, current: Artifact, queries_min: int) -> tuple[Basis, Evaluation, Evaluation]:
    basis: Basis = "held_out"
    at_ms, vocabulary = current.manifest.cutoff_ms, newcomer.artifact.vocabulary
    questions = newcomer.questions_since(at_ms)
    if len(questions) >= queries_min and (newcomer.sessions.log.ended_at_ms < at_ms).any():
        ours = newcomer.twin(at_ms)
    else:
        basis, questions = "seen_by_both", newcomer.newest_questions()
        ours = Contender.of(newcomer.artifact).recommender
    other = Contender.of(current)
    theirs = evaluate(other.recommender, in_words_of(questions, vocabulary, other.vocabulary))
    return basis, evaluate(ours, questions), theirs


def _figures(ours: Evaluation, theirs: Evaluation) -> dict[str, float]:
    figures: dict[str, float] = {"queries": len(ours)}
    for measure, short in MEASURES.items():
        figures[short] = getattr(ours.mean(), measure)
        figures[f"current_{short}"] = getattr(theirs.mean(), measure)
    for short, gain in gains(ours, theirs).items():
        figures |= {f"{short}_gain": gain.mean, f"{short}_gain_low": gain.low, f"{short}_gain_high": gain.high}
    return figures


def _finding(basis: Basis, figures: dict[str, float], current: str, limits: GateSettings) -> tuple[str, bool]:
    """What the comparison says in a sentence, and whether it is a reason to refuse."""
    queries = round(figures["queries"])
    where = f"on {queries:,} questions that {'neither' if basis == 'held_out' else 'both'} had seen"
    if queries < limits.queries_min:
        return f"{queries:,} questions are too few to tell it from {current}", False
    for short in MEASURES.values():
        low, high = figures[f"{short}_gain_low"], figures[f"{short}_gain_high"]
        if low < -limits.loss_max:
            words = f"{short} may be {-low:.4f} below that of {current}, more than {limits.loss_max:g}"
            return f"{words} (95 % interval of the gain {low:+.4f} to {high:+.4f}, {where})", True
    gained = ", ".join(f"{short} {figures[f'{short}_gain']:+.4f}" for short in MEASURES.values())
    return f"not worse than {current} {where}: {gained}", False


def _over_limits(figures: dict[str, float], limits: GateSettings) -> list[str]:
    asked = {
        "rank_p99_ms": (limits.rank_p99_ms_max, "ms for a ranking (99th percentile)"),
        "size_mb": (limits.size_mb_max, "MB on disk"),
    }
    return [
        f"it takes {figures[name]:.3g} {what}, more than {limit:g}"
        for name, (limit, what) in asked.items()
        if figures[name] > limit
    ]


def _questions(sessions: DatedSessions) -> list[EvaluationQuery]:
    return queries_of(sessions, np.random.default_rng(SEED))
