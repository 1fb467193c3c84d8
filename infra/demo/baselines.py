"""What the live slate is compared with: popularity, and what the batch layer alone would have answered."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from domain.artifacts import Artifact
from infra.demo.measures import K
from infra.demo.movielens import Rating


class Popularity:
    """The most rated items of the history that the visitor has not rated yet."""

    def __init__(self, history: Iterable[Rating]) -> None:
        counts: Counter[str] = Counter()
        self._seen: dict[str, set[str]] = defaultdict(set)
        for rating in history:
            counts[rating.item] += 1
            self._seen[rating.visitor].add(rating.item)
        self._ranked = sorted(counts, key=lambda item: (-counts[item], item))

    def slate(self, visitor: str) -> list[str]:
        """The first 20, best first."""
        found = []
        for item in self._ranked:
            if item not in self._seen[visitor]:
                found.append(item)
                if len(found) == K:
                    break
        return found

    def observe(self, rating: Rating) -> None:
        """The visitor has seen one more item."""
        self._seen[rating.visitor].add(rating.item)


class BatchOnly:
    """The artifact on what the batch layer knew of the visitor at its cutoff: yesterday's slate, all day long."""

    SESSION_ITEMS = 20
    CANDIDATES = 200

    def __init__(self, artifact: Artifact, history: Iterable[Rating], popularity: Popularity) -> None:
        self._artifact = artifact
        self._popularity = popularity
        self._items: dict[str, list[str]] = defaultdict(list)
        for rating in history:
            self._items[rating.visitor].append(rating.item)
        self._seen = {visitor: set(items) for visitor, items in self._items.items()}

    def slate(self, visitor: str) -> list[str]:
        """The first 20, best first; popularity for a visitor that the batch layer did not know."""
        vocabulary = self._artifact.vocabulary
        session = vocabulary.session(self._items.get(visitor, [])[-self.SESSION_ITEMS :])
        if not session.items:
            return self._popularity.slate(visitor)
        ranking = self._artifact.model.rank(session, self.CANDIDATES)
        found = [vocabulary.item_id(int(item)) for item in ranking.items]
        return [item for item in found if item not in self._seen[visitor]][:K]
