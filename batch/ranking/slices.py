"""The validation slice: the newest part of a log, asked of what was known before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from batch.ranking.history import Grades, History, Questions
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.lineup.striking import PREFIX_MAX

QUESTIONS_WANTED: Final = 20_000
SHARE_LEAST: Final = 0.03
SHARE_MOST: Final = 0.10
SHARE_MOST_OF_BASKETS: Final = 0.15
"""Baskets are fewer than interactions."""
BASKET_SHARE: Final = 0.5
CROSSING_SHARE: Final = 0.2
"""When fewer questions than this come from sessions across the cut, these are left out: later sessions are new ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """What was known before the cut, and what is asked after it. Nothing of the second is in the first."""

    known: History
    questions: Questions
    cut_at_ms: int
    has_baskets: bool


def is_of_baskets(history: History) -> bool:
    """Whether most steps within a session take no time: then what is asked for is a set, not one next item."""
    if not history.is_dated or len(history.items) < 2:
        return False
    inside = np.ones(len(history.items) - 1, bool)
    inside[history.offsets[1:-1] - 1] = False
    together = history.at_ms[1:] == history.at_ms[:-1]
    return bool(inside.any()) and float(together[inside].mean()) >= BASKET_SHARE


def validation_slice(history: History, share: float | None = None) -> Slice:
    """Cut at the instant after which lies `share` of the interactions (chosen by the size of the log when None)."""
    has_baskets = is_of_baskets(history)
    most = SHARE_MOST_OF_BASKETS if has_baskets else SHARE_MOST
    share = share or float(np.clip(QUESTIONS_WANTED / max(len(history.items), 1), SHARE_LEAST, most))
    cut_at_ms = int(np.quantile(history.at_ms, 1 - share, method="higher")) if len(history.items) else 0
    known = _before(history, cut_at_ms)
    questions = _of_known_items(_after(history, cut_at_ms, has_baskets), known)
    return Slice(known, questions, cut_at_ms, has_baskets)


def _of_known_items(questions: Questions, known: History) -> Questions:
    """The same questions without the items that were first seen after the cut, as queries are read.

    Else an answer would often be an item of the session that no source knows, which never happens when it counts.
    """
    is_known = np.bincount(known.items, minlength=known.items_count) > 0
    queries = questions.queries
    kept = is_known[queries.items]
    offsets = np.concatenate(([0], np.cumsum(kept)))[queries.offsets].astype(np.int64)
    current = np.where(is_known[queries.current], queries.current, -1).astype(np.int32)
    return replace(questions, queries=Queries(offsets, queries.items[kept], current))


def _before(history: History, cut_at_ms: int) -> History:
    kept = np.flatnonzero(history.at_ms < cut_at_ms)
    sessions = np.repeat(np.arange(len(history)), np.diff(history.offsets))
    grade_of = history.grade_of
    of_rows = None if grade_of is None else (lambda rows: grade_of(kept[rows]))
    rest = (history.items_count, history.is_dated, of_rows)
    return History.of(sessions[kept], history.items[kept], history.at_ms[kept], *rest)


def _after(history: History, cut_at_ms: int, has_baskets: bool) -> Questions:
    sessions = np.repeat(np.arange(len(history)), np.diff(history.offsets))
    starts = history.offsets[:-1][sessions]
    places = np.arange(len(history.items))
    asked = (history.at_ms >= cut_at_ms) & (places > starts)
    if has_baskets:
        asked[1:] &= history.at_ms[1:] != history.at_ms[:-1]
    first_at_ms = history.at_ms[history.offsets[:-1]]
    crossing = (first_at_ms < cut_at_ms)[sessions]
    chosen = np.flatnonzero(asked & ~crossing)
    if len(chosen) < (1 - CROSSING_SHARE) * asked.sum():
        chosen = np.flatnonzero(asked)
    return _questions_at(history, chosen, sessions, has_baskets)


def _questions_at(
    history: History, chosen: npt.NDArray[np.int64], sessions: npt.NDArray[np.int64], has_baskets: bool
) -> Questions:
    """Ask for what stands at the chosen places, knowing what stands before them in their sessions."""
    first = np.maximum(history.offsets[:-1][sessions[chosen]], chosen - PREFIX_MAX)
    offsets, places = _ranges(first, chosen)
    queries = Queries(offsets, history.items[places], history.items[chosen - 1])
    last = chosen + 1
    if has_baskets:
        changes = np.concatenate((np.flatnonzero(np.diff(history.at_ms) != 0) + 1, [len(history.items)]))
        next_change = changes[np.searchsorted(changes, chosen, side="right")]
        last = np.minimum(next_change, history.offsets[1:][sessions[chosen]])
    relevant_offsets, relevant_places = _ranges(chosen, last)
    grades = _telling(history.grade_of(relevant_places)) if history.grade_of else None
    return Questions(queries, relevant_offsets, history.items[relevant_places], sessions[chosen], grades)


def _telling(grades: Grades) -> Grades | None:
    """The grades, unless they are all alike and tell nothing."""
    return grades if len(np.unique(grades)) > 1 else None


def _ranges(
    first: npt.NDArray[np.int64], last: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    lengths = last - first
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return offsets, np.repeat(first - offsets[:-1], lengths) + np.arange(offsets[-1])
