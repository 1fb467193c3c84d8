"""The line-up as one `Recommender`: what an artifact holds and a server asks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Self

import numpy as np

from domain.recommenders.compiled import Floats, Ids
from domain.recommenders.covisitation import Covisitation
from domain.recommenders.fusion_neighbours import ANEW
from domain.recommenders.lineup.candidates import Lineup
from domain.recommenders.lineup.fusion import MLP, TREES, Fusion, Scores
from domain.recommenders.lineup.instant import InstantModel
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.memory import WHOLE, Asked, Memory
from domain.recommenders.lineup.reasons import Places, Trial
from domain.recommenders.lineup.sources import CovisitationSource, KnnSource, NeuralSource
from domain.recommenders.lineup.striking import PREFIX_MAX
from domain.recommenders.neural import SHAPE_FILE, NeuralSessionModel
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.stored import UnreadableModel


class FusedModel:
    """Session-kNN, co-visitation and, where there was enough to learn from, a neural model, ranked together.

    `rank` answers with the candidates that there are, some 60 to 120; their scores are above 0. Thread-safe.
    """

    def __init__(
        self,
        knn: SessionKnn,
        covisitation: Covisitation,
        neural: NeuralSessionModel | None,
        facts: ItemFacts,
        fusion: Fusion,
    ) -> None:
        self.knn = knn
        self.covisitation = covisitation
        self.neural = neural
        self.fusion = fusion
        trained = [] if neural is None else [NeuralSource(neural)]
        self.lineup = Lineup([KnnSource(knn), CovisitationSource(covisitation), *trained], facts, fusion.struck)
        self._features = self.lineup.features
        self._of_thread = threading.local()
        self._by_logits = fusion.by in {TREES, MLP, *(source.name for source in trained)}

    @property
    def items_count(self) -> int:
        """Size of the vocabulary."""
        return self.lineup.items_count

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`; an item of the session is among them when the log says that items are repeated."""
        asked = self._asked(session)
        if asked is None or k <= 0:
            return empty_ranking()
        return _best(asked.candidates, asked.scores, k)

    def scores(self, session: Session, items: Ids) -> Scores:
        """The scores [items] of distinct items of the vocabulary, on the scale of `rank`; zeros for no known item."""
        asked = self._asked(session)
        if asked is None or not len(items):
            return np.zeros(len(items))
        return self._scores_beside(asked, items)[0]

    def because(self, session: Session, items: Ids) -> list[int | None]:
        """For each of distinct `items` an item of the session without which its score would be lower, None without one.

        Of the newest `CAUSES_MAX` distinct items the one that brought most of its votes is tried first: the session
        without it is asked anew. So what is cited is found, not guessed. Items that the session itself does not bring
        up are scored again among its candidates.
        """
        asked = self._asked(session)
        if asked is None or not len(items):
            return [None] * len(items)
        full, candidates, places = self._scores_beside(asked, items)
        trial = self._trial(asked, items)

        def scores_anew(causes: Ids, which: Places) -> Scores:
            found = np.zeros(len(items))
            for number, cause in enumerate(causes.tolist()):
                at = np.flatnonzero(which == number)
                found[at] = self._scores_of([item for item in asked.known if item != cause], items[at])
            return found

        def scores_beside(causes: Ids, which: Places) -> Scores:
            rows = trial.rows_without(causes, candidates, len(self._features), self.neural)[which, places]
            newest = np.array([asked.newest_without(cause) for cause in causes.tolist()], np.int32)
            return self._finished(rows, items, newest[which])

        return trial.convict(full, scores_anew if candidates is asked.candidates else scores_beside)

    def warm(self) -> None:
        """Compile the kernels, or load them from numba's cache, before the first visitor waits for it."""
        if self.items_count:
            session, items = Session((0,)), np.zeros(1, np.int32)
            self.rank(session, 1)
            self._trial(Asked([0], items, ANEW, items, np.ones(1)), items).warm(len(self._features), self.neural)
        self.knn.warm()

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        for part in (self.knn, self.covisitation, self.neural, self.lineup.facts, self.fusion):
            if part is not None:
                part.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        neural = NeuralSessionModel.load(folder) if (folder / SHAPE_FILE).exists() else None
        facts, fusion = ItemFacts.load(folder), Fusion.load(folder)
        model = cls(SessionKnn.load(folder), Covisitation.load(folder), neural, facts, fusion)
        sizes = {model.knn.index.items_count, model.covisitation.items_count, facts.items_count}
        sizes |= set() if neural is None else {neural.items_count}
        if len(sizes) > 1:
            raise UnreadableModel(folder, f"its models know different numbers of items: {sorted(sizes)}")
        if fusion.ensemble is not None and fusion.ensemble.features != model.features():
            raise UnreadableModel(folder, "its trees were grown on other features than this version computes")
        return model

    def features(self) -> tuple[str, ...]:
        """What is known of a candidate, in the order of the columns."""
        return self._features

    def instant(self) -> InstantModel:
        """The session-kNN of this line-up alone, which answers in a fraction of the time."""
        return InstantModel(self.knn, self.lineup.struck, self._memory)

    def _known(self, session: Session) -> list[int]:
        return [item for item in session.items if 0 <= item < self.items_count][-PREFIX_MAX:]

    def _memory(self) -> Memory:
        """The working memory of the calling thread."""
        memory: Memory | None = getattr(self._of_thread, "memory", None)
        if memory is None:
            memory = self._of_thread.memory = Memory(self.lineup, self.neural)
        return memory

    def _asked(self, session: Session) -> Asked | None:
        """The candidates of a session and their scores; found once for all that a thread asks of it in a row.

        A server asks for a ranking and then for its reasons.
        """
        known = self._known(session)
        last: Asked | None = getattr(self._of_thread, "last", None)
        if last is not None and last.known == known:
            return last
        if not known:
            return None
        memory = self._memory()
        candidates, rows = memory.table(known)
        scores = self._finished(rows, candidates, known[-1])
        if self.fusion.struck == "seen":
            scores[np.isin(candidates, known)] = 0.0
        last = self._of_thread.last = Asked(known, memory.query, memory.search, candidates, scores)
        return last

    def _scores_beside(self, asked: Asked, items: Ids) -> tuple[Scores, Ids, Places]:
        """The scores [items], the candidates and these items beside them, and the places [items] of these."""
        candidates = asked.candidates
        places = np.minimum(np.searchsorted(candidates, items), len(candidates) - 1)
        if len(candidates) and (candidates[places] == items).all():
            return asked.scores[places], candidates, places
        candidates = np.union1d(candidates, items).astype(np.int32)
        places = np.searchsorted(candidates, items)
        trial = self._trial(asked, items)
        [rows] = trial.rows_without(WHOLE, candidates, len(self._features), self.neural)
        scores = self._finished(rows[places], items, asked.known[-1])
        if self.fusion.struck == "seen":
            scores[np.isin(items, asked.known)] = 0.0
        return scores, candidates, places

    def _scores_of(self, known: list[int], items: Ids) -> Scores:
        """The scores [items] in the ranking of a session; 0 for what is not in it."""
        scores = np.zeros(len(items))
        if known and len(items):
            candidates, rows = self._memory().table(known)
            places = np.minimum(np.searchsorted(candidates, items), len(candidates) - 1)
            there = candidates[places] == items
            scores[there] = self._finished(rows[places[there]], items[there], known[-1])
        return scores

    def _trial(self, asked: Asked, items: Ids) -> Trial:
        return Trial(self._memory().parts, asked.query, asked.search, items)

    def _finished(self, rows: Floats, items: Ids, newest: int | Ids) -> Scores:
        """Scores [items] above 0 from their features [items, features]; 0 for the newest item of their query.

        Those of trees and networks go through the logistic function, which keeps their order.
        """
        scores = self.fusion.scores(rows, self._features)
        if self._by_logits:
            scores = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        if self.fusion.struck != "nothing":
            scores[items == newest] = 0.0
        return scores


def _best(items: Ids, scores: Scores, k: int) -> Ranking:
    order = np.lexsort((items, -scores))[:k]
    order = order[scores[order] > 0]
    return Ranking(items[order], scores[order].astype(np.float32))
