"""Rows of Feast's stores as each layer leaves them, and the ways in which a data engineer reads them."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureStore
from redis import Redis

from domain.aggregates import ColumnType
from domain.features import JOIN_KEYS, Entity
from feature_repo.layout import EntityKeys
from feature_repo.offline import TIMESTAMP_COLUMN, arrow_schema, offline_path
from feature_repo.store import REPOSITORY
from feature_repo.views import View
from infra.settings import Settings

CUTOFF: Final = datetime(2025, 6, 17, tzinfo=UTC)
FEAST: Final = Path(sys.executable).parent / "feast"
TIMEOUT_S: Final = 300


def write_as_the_writer(settings: Settings, view: View, key: str, cells: dict[str, Any], *, at_ms: int = 1) -> None:
    flat = view.layout().encode(cells, at_ms)
    with Redis(settings.redis.host, settings.redis.port) as redis:
        keys = EntityKeys(settings.feast.project, view.join_key)
        redis.hset(keys.key(key), items=flat)


def write_parquet(settings: Settings, view: View, rows: dict[str, dict[str, Any]], *, at: datetime = CUTOFF) -> None:
    records = [{view.join_key: key, TIMESTAMP_COLUMN: at, **cells} for key, cells in rows.items()]
    path = Path(offline_path(settings.offline_dir, view.name))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records, schema=arrow_schema(view)), path)


def materialize(store: FeatureStore, views: list[str] | None = None) -> None:
    store.materialize(CUTOFF - timedelta(days=1), CUTOFF + timedelta(days=1), feature_views=views)


def read(store: FeatureStore, service: str, entity: Entity, key: str) -> dict[str, Any]:
    answer = store.get_online_features(store.get_feature_service(service), [{JOIN_KEYS[entity]: key}]).to_dict()
    return {name: values[0] for name, values in answer.items() if name != JOIN_KEYS[entity]}


def read_view(store: FeatureStore, view: View, key: str) -> dict[str, Any]:
    wanted = [f"{view.name}:{name}" for name, _ in view.columns]
    answer = store.get_online_features(wanted, [{view.join_key: key}]).to_dict()
    return {name: whole(answer[name][0], column_type) for name, column_type in view.columns}


def whole(cell: Any, column_type: ColumnType) -> Any:
    """Feast reads an empty inner list as None."""
    is_nested = column_type in (ColumnType.INT_LISTS, ColumnType.STRING_LISTS)
    return [member or [] for member in cell] if is_nested and cell is not None else cell


def nothing(view: View) -> dict[str, Any]:
    return {name: None for name, _ in view.columns}


def environment(settings: Settings) -> dict[str, str]:
    """What an operator sets to use other servers than the default ones."""
    return {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_REDIS__PORT": str(settings.redis.port),
        "FIRTH_CASSANDRA__PORT": str(settings.cassandra.port),
        "FIRTH_CASSANDRA__KEYSPACE": settings.cassandra.keyspace,
        "FIRTH_FEAST__PROJECT": settings.feast.project,
    }


def run(settings: Settings, *command: str | Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | environment(settings)
    return subprocess.run(
        command, cwd=REPOSITORY, env=variables, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
