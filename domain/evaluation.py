"""Ranking quality under one honest protocol: temporal split, every catalogue item ranked, intervals over sessions.

Rules
- The whole catalogue is ranked; there are no sampled candidates.
- Only the first `k` entries of a list count; a duplicate among them wastes its place and scores nothing.
- A target that the catalogue does not know (a negative id) is a miss, never left out.
- With `dedup` (for logs in which immediate repeats were not removed): queries whose target is the newest item of the
  session are left out, and that item is struck from every list before the cut at `k`.
- With `unseen` (for items that one consumes once, as films): every item of the session is struck from every list.
- Queries of one session are not independent, so intervals resample sessions (bootstrap), not queries.

Measures of one query, where r is the rank (1 = best) of the target among the first k entries, or none
- HR@k = 1 if there is r, else 0; MRR@k = 1/r, else 0; NDCG@k = 1/log2(r + 1), else 0.
- Of the rest of the session R (the target and everything after it, as a set), hits being the entries that are in R:
  precision@k = hits/k; recall@k = hits/|R|; MAP@k = sum over hits of (hits up to and with it / its rank) / min(|R|, k).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.recommenders.protocol import Recommender, Session


@dataclass(frozen=True, slots=True)
class EvaluationQuery:
    """What was known at a request, and what came after it.

    Items unknown to the catalogue have negative ids; different unknown items in `rest` must have different ones.
    """

    session_key: str | int  # queries with the same key are resampled together
    prefix: Session
    target: int  # the very next item
    rest: tuple[int, ...] = ()  # the target and everything after it in the session; empty means the target alone


class Judgement(NamedTuple):
    """The measures of one list; see the module's docstring for their definitions."""

    hit_rate: float
    reciprocal_rank: float
    ndcg: float
    recall: float
    precision: float
    average_precision: float


class Interval(NamedTuple):
    """A mean with the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def judge(ranked: Sequence[int], query: EvaluationQuery, k: int) -> Judgement:
    """Judge one list, best first, against one query."""
    seen: set[int] = set()
    rest = set(query.rest) or {query.target}
    rank = 0
    hits = 0
    precision_sum = 0.0
    for place, item in enumerate(ranked[:k], start=1):
        if item in seen or item < 0:
            continue
        seen.add(item)
        if item == query.target:
            rank = place
        if item in rest:
            hits += 1
            precision_sum += hits / place
    return Judgement(
        hit_rate=1.0 if rank else 0.0,
        reciprocal_rank=1.0 / rank if rank else 0.0,
        ndcg=1.0 / math.log2(rank + 1) if rank else 0.0,
        recall=hits / len(rest),
        precision=hits / k,
        average_precision=precision_sum / min(len(rest), k),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The judgements of a system over queries: one small row a query."""

    k: int
    judgements: npt.NDArray[np.float64]  # [queries, measures], columns as in `Judgement`
    session_of: npt.NDArray[np.int64]  # [queries], number of the session, from 0

    def __len__(self) -> int:
        return len(self.session_of)

    def mean(self) -> Judgement:
        """The mean of every measure; zeros without queries."""
        return Judgement(*self.judgements.mean(axis=0)) if len(self) else Judgement(*[0.0] * len(Judgement._fields))

    def interval(self, measure: str, generator: np.random.Generator, resamples: int = 1_000) -> Interval:
        """The mean of a measure with its 95 % percentile-bootstrap interval over sessions."""
        return _bootstrap(self._column(measure), self.session_of, generator, resamples)

    def gain_over(
        self, other: Evaluation, measure: str, generator: np.random.Generator, resamples: int = 1_000
    ) -> Interval:
        """The paired difference to `other` on the same queries: better for sure when `low` is above 0."""
        if self.k != other.k or not np.array_equal(self.session_of, other.session_of):
            raise ValueError("two evaluations can be paired only over the same queries and the same k")
        difference = self._column(measure) - other._column(measure)
        return _bootstrap(difference, self.session_of, generator, resamples)

    def _column(self, measure: str) -> npt.NDArray[np.float64]:
        return self.judgements[:, Judgement._fields.index(measure)]


def evaluate(
    recommender: Recommender,
    queries: Iterable[EvaluationQuery],
    k: int = 20,
    *,
    dedup: bool = False,
    unseen: bool = False,
) -> Evaluation:
    """Ask for a ranking of each query and judge it; queries are taken one by one."""
    rows: list[Judgement] = []
    numbers: dict[str | int, int] = {}
    session_of: list[int] = []
    for query in queries:
        newest = query.prefix.items[-1:]
        if dedup and (query.target,) == newest:
            continue
        struck = set(query.prefix.items if unseen else newest if dedup else ())
        ranked: list[int] = recommender.rank(query.prefix, k + len(struck)).items.tolist()
        rows.append(judge([item for item in ranked if item not in struck], query, k))
        session_of.append(numbers.setdefault(query.session_key, len(numbers)))
    judgements = np.array(rows, np.float64).reshape(len(rows), len(Judgement._fields))
    return Evaluation(k, judgements, np.array(session_of, np.int64))


def _bootstrap(
    values: npt.NDArray[np.float64], session_of: npt.NDArray[np.int64], generator: np.random.Generator, resamples: int
) -> Interval:
    """Ratio of resampled sums to resampled query counts, drawing whole sessions with replacement."""
    if not len(values):
        return Interval(0.0, 0.0, 0.0)
    sums = np.bincount(session_of, weights=values)  # [sessions]
    counts = np.bincount(session_of)  # [sessions]
    means = np.empty(resamples)
    for resample in range(resamples):
        drawn = generator.integers(len(sums), size=len(sums))
        means[resample] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.percentile(means, (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))
