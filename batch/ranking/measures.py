"""The measures of `domain.evaluation` over arrays: a validation asks for them thousands of times."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from batch.ranking.history import Grades, Questions
from domain.recommenders.lineup.queries import Ids

CUT: Final = 20


class Measured(NamedTuple):
    """Means over questions. Of one relevant item `recall` is the hit rate HR@20."""

    recall: float
    reciprocal_rank: float
    ndcg: float

    @property
    def score(self) -> float:
        """What is tuned for: NDCG and the mean of the other two, about equally strict."""
        return self.ndcg + 0.5 * (self.recall + self.reciprocal_rank)


def by_question(lists: Ids, questions: Questions) -> npt.NDArray[np.float64]:
    """[questions, 3] of ranked lists [questions, n] of distinct items, -1 for none: recall, reciprocal rank, NDCG."""
    hits = is_relevant(lists[:, :CUT], questions).astype(np.float64)
    counts = np.maximum(np.diff(questions.relevant_offsets), 1)
    discounts = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.concatenate(([0.0], np.cumsum(1 / np.log2(np.arange(2, CUT + 2)))))[np.minimum(counts, CUT)]
    first = np.where(hits.any(axis=1), 1 / (1 + hits.argmax(axis=1)), 0.0) if hits.shape[1] else np.zeros(len(hits))
    return np.stack([hits.sum(axis=1) / counts, first, hits @ discounts / ideal], axis=1)


def measure(lists: Ids, questions: Questions) -> Measured:
    """The means of `by_question`, weighted by what answers are worth; zeros without questions."""
    if not len(questions):
        return Measured(0, 0, 0)
    return Measured(*np.average(by_question(lists, questions), axis=0, weights=questions.weights).tolist())


def scores_of(judged: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`Measured.score` of each question."""
    return judged[:, 2] + 0.5 * (judged[:, 0] + judged[:, 1])


def is_relevant(lists: Ids, questions: Questions) -> npt.NDArray[np.bool_]:
    """Which entries of [questions, n] came next."""
    if (np.diff(questions.relevant_offsets) == 1).all():
        found: npt.NDArray[np.bool_] = (lists == questions.relevant[:, None]) & (lists >= 0)
        return found
    keys, wanted = _keys(lists, questions)
    hits: npt.NDArray[np.bool_] = np.isin(keys, wanted) & (lists >= 0)
    return hits


def grades_of(lists: Ids, questions: Questions) -> Grades:
    """What each entry of [questions, n] was worth: 0 for what did not come next, 1 for what did and has no grade."""
    hits = is_relevant(lists, questions)
    grades = hits.astype(np.int8)
    if questions.grades is not None and hits.any():
        keys, wanted = _keys(lists, questions)
        order = np.argsort(wanted, kind="stable")
        grades[hits] = questions.grades[order[np.searchsorted(wanted[order], keys[hits])]]
    return grades


def _keys(lists: Ids, questions: Questions) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A number for each pair of question and item: of the entries of [questions, n], and of what came next."""
    span = int(max(lists.max(initial=0), questions.relevant.max(initial=0))) + 1
    asked = np.repeat(np.arange(len(questions)), np.diff(questions.relevant_offsets))
    return np.arange(len(questions))[:, None] * span + lists, asked * span + questions.relevant
