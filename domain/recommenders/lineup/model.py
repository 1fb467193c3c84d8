"""The line-up as one `Recommender`: what an artifact holds and a server asks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final, Self

import numpy as np

from domain.recommenders.covisitation import Covisitation
from domain.recommenders.lineup.candidates import Lineup
from domain.recommenders.lineup.fusion import MLP, TREES, Fusion, Scores
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.sources import CovisitationSource, KnnSource, NeuralSource
from domain.recommenders.lineup.striking import PREFIX_MAX, strike
from domain.recommenders.neural import SHAPE_FILE, NeuralSessionModel
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.stored import UnreadableModel

CAUSES_MAX: Final = 8
"""Of a long session only its newest items are tried as the reason of an answer."""


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
        self._of_thread = threading.local()
        self._by_logits = fusion.by in {TREES, MLP, *(source.name for source in trained)}

    @property
    def items_count(self) -> int:
        """Size of the vocabulary."""
        return self.lineup.items_count

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`; an item of the session is among them when the log says that items are repeated."""
        known = self._known(session)
        if not known or k <= 0:
            return empty_ranking()
        queries, candidates = self._found_for(known)
        return _best(candidates[0], self._scores(queries, candidates)[0], k)

    def scores(self, session: Session, items: Ids) -> Scores:
        """The scores [items] of distinct items of the vocabulary, on the scale of `rank`; zeros for no known item."""
        known = self._known(session)
        if not known or not len(items):
            return np.zeros(len(items))
        queries, found = self._found_for(known)
        candidates, wanted = _with(found, items)
        scores: Scores = self._scores(queries, candidates)[0][wanted]
        return scores

    def because(self, session: Session, items: Ids) -> list[int | None]:
        """For each of distinct `items` the item of the session without which its score would be lowest.

        Found by leaving each of the newest `CAUSES_MAX` distinct items out in turn and scoring again, against the
        candidates of the whole session. None where no removal lowers the score.
        """
        known = self._known(session)
        causes = list(dict.fromkeys(reversed(known)))[:CAUSES_MAX]
        if not causes or not len(items):
            return [None] * len(items)
        without = [[item for item in known if item != cause] for cause in causes]
        candidates, wanted = _with(self._found_for(known)[1], items)
        scores = self._scores(Queries.of([known, *without]), np.repeat(candidates, len(causes) + 1, axis=0), wanted)
        falls = scores[0] - scores[1:]  # [causes, items]
        strongest = falls.argmax(axis=0)
        return [causes[cause] if falls[cause, at] > 0 else None for at, cause in enumerate(strongest.tolist())]

    def warm(self) -> None:
        """Compile the kernels, or load them from numba's cache, before the first visitor waits for it."""
        if self.items_count:
            self.because(Session((0,)), self.rank(Session((0,)), 1).items)
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
        return self.lineup.features

    def _known(self, session: Session) -> list[int]:
        return [item for item in session.items if 0 <= item < self.items_count][-PREFIX_MAX:]

    def _found_for(self, known: list[int]) -> tuple[Queries, Ids]:
        """The query of a session and its candidates [1, n]; found once for all that a thread asks of it in a row.

        A server asks for a ranking and then for its reasons.
        """
        last: tuple[list[int], Queries, Ids] | None = getattr(self._of_thread, "last", None)
        if last is None or last[0] != known:
            queries = Queries.of([known])
            candidates = self.lineup.candidates(queries)
            last = self._of_thread.last = (known, queries, candidates[:, candidates[0] >= 0])
        return last[1], last[2]

    def _scores(self, queries: Queries, candidates: Ids, wanted: Ids | None = None) -> Scores:
        """Scores [queries, wanted] above 0 of candidates [queries, n], none of them -1; 0 for what must not be shown.

        Those of trees and networks go through the logistic function, which keeps their order.
        """
        table = self.lineup.judge(queries, candidates)
        features = table.features if wanted is None else table.features[:, wanted]
        shown = candidates if wanted is None else candidates[:, wanted]
        rows = features.reshape(-1, features.shape[2])
        scores = self.fusion.scores(rows, table.names).reshape(shown.shape)
        if self._by_logits:
            scores = 1 / (1 + np.exp(-np.clip(scores, -500, 500)))
        return np.where(strike(shown, queries, self.fusion.struck, self.items_count) >= 0, scores, 0.0)


def _with(found: Ids, items: Ids) -> tuple[Ids, Ids]:
    """Candidates [1, n] and `items` beside them, and the places [items] of these."""
    candidates = np.union1d(found[0], items).astype(np.int32)
    return candidates[None], np.searchsorted(candidates, items).astype(np.int32)


def _best(items: Ids, scores: Scores, k: int) -> Ranking:
    order = np.lexsort((items, -scores))[:k]
    order = order[scores[order] > 0]
    return Ranking(items[order], scores[order].astype(np.float32))
