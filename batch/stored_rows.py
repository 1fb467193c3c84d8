"""What the online stores say, read as everybody may read it: with Feast's SDK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from redis import Redis
from redis.exceptions import RedisError

from domain.aggregates import ColumnType
from domain.features import JOIN_KEYS, Entity
from feature_repo.layout import EntityKeys
from feature_repo.store import StoreSettings, close_store, open_store
from feature_repo.views import (
    ITEM_PROFILE,
    ITEM_STATS,
    ITEM_TREND,
    VISITOR_HISTORY,
    VISITOR_PROFILE,
    VISITOR_RECENT,
    VISITOR_SESSION,
    MergedView,
    View,
)
from schemas.errors import DependencyError

READ_TOGETHER: Final = 100
SCAN_TOGETHER: Final = 1_000
NESTED: Final = (ColumnType.INT_LISTS, ColumnType.STRING_LISTS)

VIEWS: Final[dict[Entity, Sequence[View | MergedView]]] = {
    "visitor": (VISITOR_SESSION, VISITOR_RECENT, VISITOR_HISTORY, VISITOR_PROFILE),
    "item": (ITEM_TREND, ITEM_PROFILE, ITEM_STATS),
}
"""All views of a key, read in one call, in which Feast reads each stored one once: so they agree with the merged."""


class StoredRows:
    """Rows of visitors and items, all views of a key together."""

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._store = open_store(settings)

    def read(self, entity: Entity, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """All columns by key; None in the columns of a view that has no row."""
        types = {name: kind for view in VIEWS[entity] for name, kind in view.columns}
        wanted = [f"{view.name}:{name}" for view in VIEWS[entity] for name, _ in view.columns]
        rows: dict[str, dict[str, Any]] = {}
        for start in range(0, len(keys), READ_TOGETHER):
            some = keys[start : start + READ_TOGETHER]
            answer = self._store.get_online_features(wanted, [{JOIN_KEYS[entity]: key} for key in some]).to_dict()
            columns = {name: [_whole(cell, kind) for cell in answer[name]] for name, kind in types.items()}
            rows.update({key: {name: cells[at] for name, cells in columns.items()} for at, key in enumerate(some)})
        return rows

    def keys(self) -> dict[Entity, list[str]]:
        """Every visitor and item that has a row of the stream, as far as Redis tells while it is being written."""
        project, server = self._settings.feast.project, self._settings.redis
        keys_of = {entity: EntityKeys(project, join_key) for entity, join_key in JOIN_KEYS.items()}
        try:
            with Redis(server.host, server.port) as redis:
                stored = set(redis.scan_iter(count=SCAN_TOGETHER))
        except RedisError as error:
            address = f"redis {server.host}:{server.port}"
            raise DependencyError(address, str(error), "is it up (`python -m infra status`)?") from error
        return {entity: [key for raw in stored if (key := keys.value(raw))] for entity, keys in keys_of.items()}

    def close(self) -> None:
        """Close the connections."""
        close_store(self._store)


def _whole(cell: Any, column_type: ColumnType) -> Any:
    """Feast reads an empty inner list as None."""
    if column_type in NESTED and cell is not None:
        return [[] if member is None else member for member in cell]
    return cell
