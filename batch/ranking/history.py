"""The interactions of a log by session, and the questions that can be asked of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.queries import Ids, Offsets, Queries, gather
from domain.recommenders.session_log import SessionLog

Grades = npt.NDArray[np.int8]
GradeOf = Callable[[npt.NDArray[np.int64]], Grades]
"""What it was worth to have recommended the items at some places, as `domain.objectives.grade` tells."""


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Interactions by session, oldest first in each; sessions by their last instant, of equal ones as in the file."""

    offsets: Offsets  # [sessions + 1]
    items: Ids  # [interactions], dense ids
    at_ms: npt.NDArray[np.int64]  # [interactions]; places in the file when it has no timestamps
    items_count: int
    is_dated: bool  # whether `at_ms` are instants
    grade_of: GradeOf | None = None  # None: every interaction is worth the same

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def span_days(self) -> float:
        """Days from the first to the last interaction, above 0."""
        return max(float(self.at_ms.max() - self.at_ms.min()) / 86_400_000, 1e-6) if len(self.at_ms) else 1.0

    @property
    def log(self) -> SessionLog:
        """The same for those who only need the end of each session."""
        return SessionLog(self.offsets, self.items, self.at_ms[self.offsets[1:] - 1])

    @property
    def facts(self) -> ItemFacts:
        """What it says of each item, as of its end."""
        return ItemFacts.of(self.offsets, self.items, self.at_ms, self.items_count)

    @classmethod
    def of(
        cls,
        sessions: npt.NDArray[np.int64],
        items: Ids,
        at_ms: npt.NDArray[np.int64],
        items_count: int,
        is_dated: bool = True,
        grade_of: GradeOf | None = None,
    ) -> Self:
        """From rows in any order, of numbered sessions; rows of one session and instant stay in their order.

        `grade_of` is asked for numbers of rows.
        """
        order = np.lexsort((at_ms, sessions))
        sessions, items, at_ms = sessions[order], items[order], at_ms[order]
        starts = np.flatnonzero(np.concatenate(([True], sessions[1:] != sessions[:-1]))) if len(items) else order
        lengths = np.diff(np.concatenate((starts, [len(items)])))
        by_end = np.argsort(at_ms[starts + lengths - 1], kind="stable") if len(items) else starts
        offsets = np.concatenate(([0], np.cumsum(lengths[by_end]))).astype(np.int64)
        places = np.repeat(starts[by_end] - offsets[:-1], lengths[by_end]) + np.arange(len(items))
        rows = order[places]
        of_places = None if grade_of is None else (lambda asked: grade_of(rows[asked]))
        return cls(offsets, items[places].astype(np.int32), at_ms[places], items_count, is_dated, of_places)


@dataclass(frozen=True, slots=True, eq=False)
class Questions:
    """Queries with what came next: one item, or all items of a basket."""

    queries: Queries
    relevant_offsets: Offsets  # [queries + 1]
    relevant: Ids
    owners: npt.NDArray[np.int64]  # [queries], the session; questions of one owner are not independent
    grades: Grades | None = None  # of each of `relevant`; None: all are worth the same

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def weights(self) -> npt.NDArray[np.float64] | None:
        """[queries], the grade of the best answer of each, with a mean of 1; None where all are worth the same."""
        if self.grades is None or not self.grades.any():
            return None
        best = np.maximum.reduceat(self.grades, self.relevant_offsets[:-1]).astype(np.float64)
        weights: npt.NDArray[np.float64] = best / best.mean()
        return weights

    def part(self, chosen: npt.NDArray[np.int64]) -> Questions:
        """The questions of these numbers, in this order."""
        offsets, places = gather(self.relevant_offsets, chosen)
        grades = None if self.grades is None else self.grades[places]
        return Questions(self.queries.part(chosen), offsets, self.relevant[places], self.owners[chosen], grades)

    def sample(self, questions_max: int, generator: np.random.Generator) -> Questions:
        """All questions of owners drawn until there are about so many."""
        if len(self) <= questions_max:
            return self
        owners, owner_of, counts = np.unique(self.owners, return_inverse=True, return_counts=True)
        order = generator.permutation(len(owners))
        drawn = np.zeros(len(owners), bool)
        drawn[order[: max(1, int(np.searchsorted(np.cumsum(counts[order]), questions_max)))]] = True
        return self.part(np.flatnonzero(drawn[owner_of]))

    @property
    def first_relevant(self) -> Ids:
        """[queries], the next item, of a basket its first."""
        return self.relevant[self.relevant_offsets[:-1]]
