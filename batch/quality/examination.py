"""Ask every model the same questions, and tell what its answers are worth: overall, for whom, and beside the others.

The result is plain figures, the same for JSON, the report and MLflow; an interval is `[mean, low, high]`, 95 %, by
bootstrap over sessions. The questions and the rules are those of `domain.evaluation`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from batch.quality.contestants import Contestant, Lesson
from domain.evaluation import Evaluation, EvaluationQuery, Interval, Protocol, answers, judge_lists
from domain.evaluation_lists import Categories, Counts, Lists, measure_lists
from domain.recommenders.protocol import Ranking, Recommender, Session
from schemas.errors import PlatformError

SEED: Final = 20
SHORTER_K: Final = 10
GROUPED_BY: Final = ("hit_rate", "reciprocal_rank")
COMPARED_BY: Final = ("hit_rate", "reciprocal_rank", "ndcg")
GROUPS_MAX: Final = 8
"""Groups of one kind that are told of by name; the smaller ones are `other`."""
RARE: Final = 5
"""An item with at most so many interactions in the known sessions is rare."""

NAMES: Final = {
    "hit_rate": "HR",
    "reciprocal_rank": "MRR",
    "ndcg": "NDCG",
    "recall": "R",
    "precision": "P",
    "average_precision": "MAP",
    "rest_ndcg": "NDCG_rest",
    "any_hit": "HR_any",
}
"""Short names of `domain.evaluation.Judgement`; the first three judge the next item, the others the rest."""

Figures = dict[str, Any]
Tell = Callable[[str], None]
Groups = dict[str, npt.NDArray[np.str_]]
"""By what queries are told apart, and the group of each: [queries]."""


@dataclass(frozen=True, slots=True, eq=False)
class Exam:
    """The same questions for everybody."""

    queries: Sequence[EvaluationQuery]  # those that count
    counts: Counts
    categories: Categories
    groups: Groups
    protocol: Protocol


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """A model's answers, and how they were judged."""

    name: str
    lists: Lists
    judged: Evaluation
    build_s: float
    latencies_us: npt.NDArray[np.float64]  # [queries]


@dataclass(slots=True)
class _Timed:
    """A recommender that notes how long each answer took."""

    model: Recommender
    taken_us: list[float] = field(default_factory=list)

    def rank(self, session: Session, k: int) -> Ranking:
        started_ns = time.perf_counter_ns()
        ranking = self.model.rank(session, k)
        self.taken_us.append((time.perf_counter_ns() - started_ns) / 1_000)
        return ranking

    def save(self, folder: Any) -> None:
        self.model.save(folder)

    @classmethod
    def load(cls, folder: Any) -> Self:
        raise NotImplementedError


def examine(
    models: Mapping[str, Contestant], lesson: Lesson, exam: Exam, tell: Tell
) -> tuple[list[Examined], Mapping[str, str]]:
    """Build each model, ask it everything, and judge it; of those that could not be built, why."""
    found, failed = [], dict[str, str]()
    for name, model in models.items():
        started = time.perf_counter()
        try:
            built = model.build(lesson)
        except PlatformError as error:
            failed[name] = str(error)
            tell(f"evaluate: {name} FAILED: {error}")
            continue
        build_s = time.perf_counter() - started
        built.rank(Session((0,)), 1)  # kernels compile now, not under the clock
        timed = _Timed(built)
        lists = answers(timed, exam.queries, exam.protocol)
        examined = Examined(name, lists, judge_lists(lists, exam.queries), build_s, np.array(timed.taken_us))
        mean = examined.judged.mean()
        tell(f"evaluate: {name}: HR {mean.hit_rate:.4f}, MRR {mean.reciprocal_rank:.4f}, built in {build_s:.1f} s")
        found.append(examined)
    return found, failed


def figures_of(examined: Sequence[Examined], exam: Exam) -> Figures:
    """All figures of all models; the first one is the primitive that surprise is measured against."""
    return {
        "models": {each.name: _figures(each, exam, examined[0].lists) for each in examined},
        "paired": [
            _compared(one, other) for at, other in enumerate(examined) for one in examined[at + 1 :] if len(one.judged)
        ],
    }


def _figures(model: Examined, exam: Exam, primitive: Lists) -> Figures:
    return {
        "metrics": _metrics(model, exam),
        "lists": _list_figures(model.lists, exam, primitive),
        "groups": {by: _by_group(model.judged, groups) for by, groups in exam.groups.items()},
        "build_s": round(model.build_s, 3),
        "latency_us": _latency(model.latencies_us),
    }


def _metrics(model: Examined, exam: Exam) -> Figures:
    """Every measure at k, and those of the next item at a shorter k too."""
    at = {model.judged.k: (model.judged, tuple(NAMES))}
    if model.judged.k > SHORTER_K:
        at[SHORTER_K] = (judge_lists(model.lists[:, :SHORTER_K], exam.queries), COMPARED_BY)
    return {
        f"{NAMES[measure]}@{k}": _rounded(interval)
        for k, (judged, measures) in at.items()
        for measure, interval in judged.intervals(_generator()).items()
        if measure in measures
    }


def _list_figures(lists: Lists, exam: Exam, primitive: Lists) -> Figures:
    """JSON knows no NaN: what has no value is None."""
    found = measure_lists(lists, exam.queries, exam.counts, primitive, exam.categories)._asdict()
    return {name: None if math.isnan(value) else round(value, 6) for name, value in found.items()}


def _by_group(judged: Evaluation, groups: npt.NDArray[np.str_]) -> Figures:
    found: Figures = {}
    for group in dict.fromkeys(groups.tolist()):
        some = judged.where(groups == group)
        intervals = some.intervals(_generator())
        found[group] = {
            "queries": len(some),
            **{f"{NAMES[measure]}@{judged.k}": _rounded(intervals[measure]) for measure in GROUPED_BY},
        }
    return dict(sorted(found.items(), key=lambda one: _order(one[0])))


def _compared(one: Examined, other: Examined) -> Figures:
    """The paired gain of one model over another, on the same resamples of sessions."""
    gains = one.judged.gains_over(other.judged, _generator())
    measures = {f"{NAMES[measure]}@{one.judged.k}": _rounded(gains[measure]) for measure in COMPARED_BY}
    return {"model": one.name, "over": other.name, **measures}


def _latency(taken_us: npt.NDArray[np.float64]) -> Figures:
    if not len(taken_us):
        return {}
    return {f"p{share}": round(float(np.percentile(taken_us, share)), 1) for share in (50, 99)}


def groups_of(queries: Sequence[EvaluationQuery], counts: Counts, device_of: Sequence[str]) -> Groups:
    """By how long the session was, by what became the target, and by device: [queries] each.

    `device_of` is of each session, by the number that is the query's key.
    """
    lengths = np.array([_length_group(len(query.prefix.items)) for query in queries], np.str_)
    targets = np.array([_target_group(query, counts) for query in queries], np.str_)
    devices = np.array([device_of[int(query.session_key)] for query in queries], np.str_)
    return {"prefix_length": lengths, "target": targets, "device": _largest(devices)}


def _length_group(length: int) -> str:
    return "1" if length == 1 else "2-3" if length <= 3 else "4-7" if length <= 7 else "8+"


def _target_group(query: EvaluationQuery, counts: Counts) -> str:
    if query.target in query.prefix.items:
        return "repeat"
    count = int(counts[query.target]) if 0 <= query.target < len(counts) else 0
    return "cold" if count == 0 else "rare" if count <= RARE else "known"


def _largest(groups: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    names, sizes = np.unique(groups, return_counts=True)
    named = names[np.argsort(-sizes, kind="stable")][:GROUPS_MAX]
    return np.where(np.isin(groups, named), groups, "other")


def _order(group: str) -> tuple[int, str]:
    """Targets from the easiest to the hardest; all else by name."""
    targets = ("repeat", "known", "rare", "cold")
    return (targets.index(group) if group in targets else 0, group)


def _generator() -> np.random.Generator:
    return np.random.default_rng(SEED)


def _rounded(interval: Interval) -> list[float]:
    return [round(value, 6) for value in interval]
