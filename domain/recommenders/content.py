"""Items about the same as what the visitor looked at: the only source that knows an item from its first minute.

    score(j) = sum over the newest `query_items_max` items i of the session, at position p from the end, i other than j,
               of exp(-p / query_decay_positions) * cosine(i, j)

An item does not vouch for itself. Only what is above 0 is ranked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np

from domain.recommenders.best import best_of_all
from domain.recommenders.item_content import Embeddings, Floats, Ids, ItemContent, TermRows
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.stored import UnreadableModel

FILE: Final = "content.json"
FORMAT: Final = 1
KINDS: Final[Mapping[str, type[ItemContent]]] = {TermRows.KIND: TermRows, Embeddings.KIND: Embeddings}


@dataclass(frozen=True, slots=True)
class ContentPolicy:
    """How a session becomes a query."""

    query_items_max: int = 50
    query_decay_positions: float = 10.0

    def __post_init__(self) -> None:
        if not (self.query_items_max > 0 and self.query_decay_positions > 0):
            raise ValueError(f"the number of query items and their decay must be above 0 in {self}")


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `content.json` holds."""

    kind: str
    format: int
    policy: ContentPolicy


class ContentSimilarity:
    """A `Recommender` over what items are about. Thread-safe: nothing changes after it is built."""

    def __init__(self, content: TermRows | Embeddings, policy: ContentPolicy | None = None) -> None:
        self.content = content
        self.policy = policy or ContentPolicy()
        self._is_known = content.is_known()
        self._weights = np.exp(-np.arange(self.policy.query_items_max) / self.policy.query_decay_positions)

    @property
    def items_count(self) -> int:
        """Size of the vocabulary it was built for."""
        return len(self.content)

    def similar(self, item: int, k: int) -> Ranking:
        """At most `k` items that are about the same as `item`, without `item` itself; nothing for an unknown one."""
        return self.rank(Session((item,)), k + 1).excluding(item, k)

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`."""
        items, weights = self._asked(session)
        if not len(items) or k <= 0:
            return empty_ranking()
        scores = self.content.against(self.content.sum_of(items, weights))
        np.subtract.at(scores, items, weights)
        scores[scores <= 0] = -np.inf
        return best_of_all(scores, k)

    def rank_among(self, session: Session, items: Ids, k: int) -> Ranking:
        """`rank` of some distinct items in ascending order, at the cost of these: those of no log, say."""
        scores = self.scores(session, items)
        scores[scores <= 0] = -np.inf
        best = best_of_all(scores, k)
        return Ranking(items[best.items], best.scores)

    def scores(self, session: Session, items: Ids) -> Floats:
        """The scores of given items of the catalogue, in their order; zeros where nothing of the session is known."""
        asked, weights = self._asked(session)
        if not len(asked):
            return np.zeros(len(items), np.float32)
        own = (items[:, None] == asked) @ weights
        scores: Floats = self.content.against_some(self.content.sum_of(asked, weights), items) - own
        return scores

    def _asked(self, session: Session) -> tuple[Ids, Floats]:
        """The newest items with content, and their weights: what is unknown keeps its place, and has no say."""
        newest = np.array(session.items[: -self.policy.query_items_max - 1 : -1], np.int32)
        inside = (newest >= 0) & (newest < self.items_count)
        known = inside & self._is_known[np.where(inside, newest, 0)] if self.items_count else inside
        return newest[known], self._weights[: len(newest)][known].astype(np.float32)

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        self.content.save(folder)
        (folder / FILE).write_bytes(msgspec.json.encode(_Written(self.content.KIND, FORMAT, self.policy)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        path = folder / FILE
        try:
            written = msgspec.json.decode(path.read_bytes(), type=_Written)
        except (OSError, msgspec.MsgspecError) as error:
            raise UnreadableModel(path, str(error)) from error
        if written.format != FORMAT or written.kind not in KINDS:
            raise UnreadableModel(path, f"it holds {written.kind}/{written.format}")
        return cls(KINDS[written.kind].load(folder), written.policy)  # type: ignore[arg-type]
