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
  precision@k = hits/k; recall@k = hits/|R|; MAP@k = sum over hits of (hits up to and with it / its rank) / min(|R|, k);
  NDCG of the rest = sum over hits of 1/log2(rank + 1) / the same sum of a list that begins with all of R;
  any hit = 1 if there is a hit, else 0.

What a list is worth besides (breadth, novelty, surprise) is in `domain.evaluation_lists`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.recommenders.protocol import Recommender, Session

NOTHING: Final = -1
"""Stands in a list where there is no item that could count."""


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
    rest_ndcg: float = 0.0
    any_hit: float = 0.0


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
    precision_sum = gain = 0.0
    for place, item in enumerate(ranked[:k], start=1):
        if item in seen or item < 0:
            continue
        seen.add(item)
        if item == query.target:
            rank = place
        if item in rest:
            hits += 1
            precision_sum += hits / place
            gain += 1.0 / math.log2(place + 1)
    return Judgement(
        hit_rate=1.0 if rank else 0.0,
        reciprocal_rank=1.0 / rank if rank else 0.0,
        ndcg=1.0 / math.log2(rank + 1) if rank else 0.0,
        recall=hits / len(rest),
        precision=hits / k,
        average_precision=precision_sum / min(len(rest), k),
        rest_ndcg=gain / _best_gain(min(len(rest), k)),
        any_hit=1.0 if hits else 0.0,
    )


@cache
def _best_gain(hits: int) -> float:
    """The discounted gain of a list that begins with so many hits."""
    return sum(1.0 / math.log2(place + 1) for place in range(1, hits + 1))


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
        self._refuse_unpaired(other)
        difference = self._column(measure) - other._column(measure)
        return _bootstrap(difference, self.session_of, generator, resamples)

    def intervals(self, generator: np.random.Generator, resamples: int = 1_000) -> dict[str, Interval]:
        """Every measure with its 95 % interval, all from the same resamples: what one `interval` costs, once."""
        return _bootstrap_all(self.judgements, self.session_of, generator, resamples)

    def gains_over(
        self, other: Evaluation, generator: np.random.Generator, resamples: int = 1_000
    ) -> dict[str, Interval]:
        """`gain_over` of every measure, all from the same resamples."""
        self._refuse_unpaired(other)
        return _bootstrap_all(self.judgements - other.judgements, self.session_of, generator, resamples)

    def where(self, wanted: npt.NDArray[np.bool_]) -> Evaluation:
        """The same of some of the queries; `wanted` is [queries]."""
        _, session_of = np.unique(self.session_of[wanted], return_inverse=True)
        return Evaluation(self.k, self.judgements[wanted], session_of.astype(np.int64))

    def _refuse_unpaired(self, other: Evaluation) -> None:
        if self.k != other.k or not np.array_equal(self.session_of, other.session_of):
            raise ValueError("two evaluations can be paired only over the same queries and the same k")

    def _column(self, measure: str) -> npt.NDArray[np.float64]:
        return self.judgements[:, Judgement._fields.index(measure)]


@dataclass(frozen=True, slots=True)
class Protocol:
    """How long lists are, and which items are struck from them; see the module's docstring."""

    k: int = 20
    dedup: bool = False
    unseen: bool = False

    def asked(self, queries: Iterable[EvaluationQuery]) -> list[EvaluationQuery]:
        """The queries that count."""
        return [query for query in queries if not self.dedup or query.prefix.items[-1:] != (query.target,)]

    def struck(self, query: EvaluationQuery) -> set[int]:
        """The items that are struck from the answer to a query."""
        newest = query.prefix.items[-1:]
        return set(query.prefix.items if self.unseen else newest if self.dedup else ())

    def kept(self, ranked: Iterable[int], query: EvaluationQuery) -> list[int]:
        """The first `k` entries that are not struck; an item that was there before leaves `NOTHING` in its place."""
        struck, seen = self.struck(query), set[int]()
        kept = []
        for item in [item for item in ranked if item not in struck][: self.k]:
            kept.append(NOTHING if item in seen else item)
            seen.add(item)
        return kept


def answers(recommender: Recommender, queries: Sequence[EvaluationQuery], protocol: Protocol) -> npt.NDArray[np.int32]:
    """The lists of a recommender for queries that count: [queries, k], `NOTHING` where there is no item."""
    lists = np.full((len(queries), protocol.k), NOTHING, np.int32)
    for row, query in enumerate(queries):
        ranked: list[int] = recommender.rank(query.prefix, protocol.k + len(protocol.struck(query))).items.tolist()
        kept = protocol.kept(ranked, query)
        lists[row, : len(kept)] = kept
    return lists


def judge_lists(lists: npt.NDArray[np.int32], queries: Sequence[EvaluationQuery]) -> Evaluation:
    """Judge `answers`; of longer lists give the first columns to judge at a smaller k."""
    k = lists.shape[1]
    numbers: dict[str | int, int] = {}
    session_of = [numbers.setdefault(query.session_key, len(numbers)) for query in queries]
    rows = [judge(ranked, query, k) for ranked, query in zip(lists.tolist(), queries, strict=True)]
    judgements = np.array(rows, np.float64).reshape(len(rows), len(Judgement._fields))
    return Evaluation(k, judgements, np.array(session_of, np.int64))


def evaluate(
    recommender: Recommender,
    queries: Iterable[EvaluationQuery],
    k: int = 20,
    *,
    dedup: bool = False,
    unseen: bool = False,
) -> Evaluation:
    """Ask for a ranking of each query that counts, and judge it."""
    protocol = Protocol(k, dedup, unseen)
    asked = protocol.asked(queries)
    return judge_lists(answers(recommender, asked, protocol), asked)


def _bootstrap(
    values: npt.NDArray[np.float64], session_of: npt.NDArray[np.int64], generator: np.random.Generator, resamples: int
) -> Interval:
    """The interval of one column."""
    means, low, high = _bounds(values[:, None], session_of, generator, resamples)
    return Interval(float(means[0]), float(low[0]), float(high[0]))


def _bootstrap_all(
    values: npt.NDArray[np.float64], session_of: npt.NDArray[np.int64], generator: np.random.Generator, resamples: int
) -> dict[str, Interval]:
    means, low, high = _bounds(values, session_of, generator, resamples)
    columns = zip(means.tolist(), low.tolist(), high.tolist(), strict=True)
    return {name: Interval(*bounds) for name, bounds in zip(Judgement._fields, columns, strict=False)}


def _bounds(
    values: npt.NDArray[np.float64], session_of: npt.NDArray[np.int64], generator: np.random.Generator, resamples: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Means and bounds of every column, drawing whole sessions with replacement: resampled sums by resampled counts.

    `values` is [queries, measures].
    """
    if not len(values):
        nothing = np.zeros(values.shape[1])
        return nothing, nothing, nothing
    counts = np.bincount(session_of)  # [sessions]
    sums = np.stack([np.bincount(session_of, weights=column) for column in values.T], axis=1)  # [sessions, measures]
    summed = np.column_stack([sums, counts])  # so that one product resamples all
    resampled = np.empty((resamples, values.shape[1]))
    for resample in range(resamples):
        drawn = generator.integers(len(counts), size=len(counts))
        *sums_drawn, count_drawn = np.bincount(drawn, minlength=len(counts)) @ summed
        resampled[resample] = np.array(sums_drawn) / count_drawn
    low, high = np.percentile(resampled, (2.5, 97.5), axis=0)
    return values.mean(axis=0), low, high
