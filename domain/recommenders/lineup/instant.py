"""The session-kNN of a line-up by itself: the quick tier."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import numpy as np

from domain.recommenders.compiled import Ids, Reals
from domain.recommenders.lineup import kernel
from domain.recommenders.lineup.memory import WHOLE, Asked, Memory
from domain.recommenders.lineup.reasons import Places, Trial
from domain.recommenders.lineup.striking import PREFIX_MAX, Struck
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.session_knn import SessionKnn

CANDIDATES_MAX: Final = 120
"""As many as a whole line-up has, about."""


class InstantModel:
    """Ranks, scores and explains as `FusedModel` does, by the votes of similar sessions alone. Thread-safe."""

    def __init__(self, knn: SessionKnn, struck: Struck, memory_of_thread: Callable[[], Memory]) -> None:
        self.knn = knn
        self._struck = struck
        self._memory = memory_of_thread
        self._of_thread = threading.local()

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`."""
        asked = self._asked(session)
        if asked is None or k <= 0:
            return empty_ranking()
        return Ranking(asked.candidates[:k], asked.scores[:k].astype(np.float32))

    def scores(self, session: Session, items: Ids) -> Reals:
        """See `FusedModel.scores`."""
        asked = self._asked(session)
        if asked is None or not len(items):
            return np.zeros(len(items))
        scores: Reals = self._trial(asked, items).votes_without(WHOLE)[0]
        scores[np.isin(items, self._barred(asked.known))] = 0.0
        return scores

    def because(self, session: Session, items: Ids) -> list[int | None]:
        """See `FusedModel.because`."""
        asked = self._asked(session)
        if asked is None or not len(items):
            return [None] * len(items)
        trial, every = self._trial(asked, items), np.arange(len(items))

        def scores_without(causes: Ids, which: Places) -> Reals:
            without: Reals = trial.votes_without(causes)[which, every]
            return without

        return trial.convict(self.scores(session, items), scores_without)

    def warm(self) -> None:
        """Compile the kernels, or load them from numba's cache."""
        if self.knn.index.items_count:
            self.because(Session((0,)), np.zeros(1, np.int32))

    def _asked(self, session: Session) -> Asked | None:
        """The best items of a session, best first, and their scores; found once for all that is asked in a row."""
        known = [item for item in session.items if 0 <= item < self.knn.index.items_count][-PREFIX_MAX:]
        last: Asked | None = getattr(self._of_thread, "last", None)
        if last is not None and last.known == known:
            return last
        if not known:
            return None
        barred, memory, query = self._barred(known), self._memory(), np.array(known, np.int32)
        size = min(CANDIDATES_MAX + len(barred), self.knn.index.items_count)
        items, scores = np.empty(size, np.int32), np.empty(size)
        count = kernel.votes(query, memory.parts.near, items, scores)
        kept = np.flatnonzero(~np.isin(items[:count], barred))
        last = self._of_thread.last = Asked(known, query, memory.search, items[kept], scores[kept])
        return last

    def _trial(self, asked: Asked, items: Ids) -> Trial:
        return Trial(self._memory().parts, asked.query, asked.search, items)

    def _barred(self, known: list[int]) -> list[int]:
        if self._struck == "seen":
            return list(set(known))
        return known[-1:] if self._struck == "current" else []
