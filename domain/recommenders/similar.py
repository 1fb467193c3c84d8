"""Item to item: what goes with this one item, whoever looks at it."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.session_knn import SessionKnn


class ItemToItem:
    """The session-kNN asked about one item only: the items that stand near it in its newest sessions.

    It shares the index of the session-kNN, so it costs no second model. As a `Recommender` it looks at the newest item
    of the session: the rung between the personal slate and popularity.
    """

    def __init__(self, knn: SessionKnn) -> None:
        self.knn = knn

    def similar(self, item: int, k: int) -> Ranking:
        """At most `k` items that go with `item`, without `item` itself."""
        return self.knn.rank(Session((item,)), k + 1).excluding(item, k)

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`; only the newest item of the session counts, and it is never in the answer."""
        known = [item for item in session.items if 0 <= item < self.knn.index.items_count]
        return self.similar(known[-1], k) if known and k > 0 else empty_ranking()

    def save(self, folder: Path) -> None:
        """See `Recommender.save`: the files are those of the session-kNN."""
        self.knn.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        return cls(SessionKnn.load(folder))
