"""Which items an answer may not hold: what the log itself says of that."""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from batch.ranking.history import History, Questions
from domain.recommenders.lineup.striking import Struck

AllowCurrent = Literal["yes", "no", "auto"]

NEVER: Final = 1e-3
"""A share of repeats below this is none: films, courses, articles."""
HARDLY: Final = 2e-3
"""When the next item is the current one less often than this, recommending it is not worth a place."""


def first_rule(history: History, questions: Questions, allowed: AllowCurrent) -> Struck:
    """The rule to train under. `auto` may still strike the current item later, when answers get better by it."""
    if allowed != "yes" and _repeats(history) < NEVER:
        return "seen"
    if allowed != "auto":
        return "nothing" if allowed == "yes" else "current"
    return "nothing" if current_share(questions) >= HARDLY else "current"


def current_share(questions: Questions) -> float:
    """The share of questions whose next item is the current one."""
    return float((questions.first_relevant == questions.queries.current).mean()) if len(questions) else 0.0


def _repeats(history: History) -> float:
    """The share of interactions with an item that the session held before."""
    sessions = np.repeat(np.arange(len(history)), np.diff(history.offsets))
    distinct = len(np.unique(sessions * np.int64(history.items_count) + history.items))
    later = len(history.items) - len(history)
    return 1.0 - (distinct - len(history)) / later if later > 0 else 1.0


def answerable(questions: Questions, struck: Struck) -> Questions:
    """The questions that can be answered at all under the rule: under `current` the others say nothing."""
    if struck == "nothing":
        return questions
    return questions.part(np.flatnonzero(questions.first_relevant != questions.queries.current))
