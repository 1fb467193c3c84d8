"""What the online stores say, read as everybody may read it: with Feast's SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from domain.features import JOIN_KEYS, Entity
from feature_repo.store import StoreSettings, close_store, open_store
from feature_repo.views import (
    ITEM_STATS,
    ITEM_TREND,
    VISITOR_PROFILE,
    VISITOR_RECENT,
    VISITOR_SESSION,
    MergedView,
    View,
)

READ_TOGETHER: Final = 100

VIEWS: Final[dict[Entity, Sequence[View | MergedView]]] = {
    "visitor": (VISITOR_SESSION, VISITOR_RECENT, VISITOR_PROFILE),
    "item": (ITEM_TREND, ITEM_STATS),
}
"""The merged views, and the stream's views that tell the offsets: read in one call, so that they agree."""


class StoredRows:
    """Rows of visitors and items, all views of a key together."""

    def __init__(self, settings: StoreSettings) -> None:
        self._store = open_store(settings)

    def read(self, entity: Entity, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """All columns by key; None in the columns of a view that has no row."""
        wanted = [f"{view.name}:{name}" for view in VIEWS[entity] for name, _ in view.columns]
        rows: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), READ_TOGETHER):
            some = keys[start : start + READ_TOGETHER]
            entities = [{JOIN_KEYS[entity]: key} for key in some]
            columns = self._store.get_online_features(wanted, entities).to_dict()
            rows.update({key: {name: cells[at] for name, cells in columns.items()} for at, key in enumerate(some)})
        return rows

    def close(self) -> None:
        """Close the connections."""
        close_store(self._store)
