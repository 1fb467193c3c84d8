"""Feast's Cassandra store with one row an entity: all features of a view in one blob, written as one mutation.

A reader sees a row of the old run or of the new one, never half of each. The stock store keeps a row for each feature,
written by a statement of its own, which is neither atomic nor quick. The daily run writes the same table without Feast
(`batch.row_publisher`); `feast materialize` and all reads through the SDK come here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from cassandra import InvalidRequest
from cassandra.cluster import Cluster, Session
from cassandra.concurrent import execute_concurrent_with_args
from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.cassandra_online_store.cassandra_online_store import (
    CassandraOnlineStore,
    CassandraOnlineStoreConfig,
)
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from pydantic import StrictInt, StrictStr

from feature_repo.cassandra_table import Address, RowTable, RowTooLarge, connect
from feature_repo.layout.cells import pack_cells, unpack_cells
from feature_repo.layout.keys import field_key
from schemas.errors import ConfigurationError

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class CassandraRowOnlineStoreConfig(CassandraOnlineStoreConfig):
    """The stock configuration, and how to create the keyspace when it is absent."""

    type: StrictStr = "feature_repo.cassandra_store.CassandraRowOnlineStore"  # type: ignore[assignment]
    replication_factor: StrictInt = 1
    connect_timeout_s: StrictInt = 10


class CassandraRowOnlineStore(CassandraOnlineStore):
    """`OnlineStore` over `RowTable`s; the keyspace is created when absent."""

    def __init__(self) -> None:
        self._tables: dict[str, RowTable] = {}

    def _get_session(self, config: RepoConfig) -> Session:
        if self._session is None:
            self._cluster, self._session = _connected(config.online_store)
            self._keyspace = config.online_store.keyspace
        return self._session

    def disconnect(self) -> None:
        """Close the connections; the next call opens them again."""
        if self._cluster is not None:
            self._cluster.shutdown()
        self._cluster = self._session = None
        self._tables.clear()

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        rows = self._table(config, table)
        try:
            execute_concurrent_with_args(
                self._session,
                rows.insert,
                _stored(config, table, data, progress),
                concurrency=config.online_store.write_concurrency,
            )
        except InvalidRequest as error:
            raise RowTooLarge.named(table.name, error) from error

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        rows = self._table(config, table)
        names = requested_features or [field.name for field in table.features]
        wanted = {field_key(table.name, name): name for name in names}
        asked = [(_partition(config, key),) for key in entity_keys]
        concurrency = config.online_store.read_concurrency
        answers = execute_concurrent_with_args(self._session, rows.select, asked, concurrency=concurrency)
        return [_feast_row(found.one(), wanted) for _, found in answers]

    def _create_table(self, config: RepoConfig, project: str, table: FeatureView) -> None:
        session = self._get_session(config)
        session.execute(RowTable.definition(self._keyspace, project, table.name))

    def _drop_table(self, config: RepoConfig, project: str, table: FeatureView) -> None:
        session = self._get_session(config)
        self._tables.pop(table.name, None)
        session.execute(f"DROP TABLE IF EXISTS {RowTable.full_name(self._keyspace, project, table.name)}")

    def _table(self, config: RepoConfig, table: FeatureView) -> RowTable:
        session = self._get_session(config)
        if table.name not in self._tables:
            self._tables[table.name] = RowTable(session, self._keyspace, config.project, table.name)
        return self._tables[table.name]


def _partition(config: RepoConfig, key: EntityKey) -> str:
    return serialize_entity_key(key, config.entity_key_serialization_version).hex()


def _stored(
    config: RepoConfig, table: FeatureView, data: Sequence[FeastRow], progress: Callable[[int], Any] | None
) -> Iterator[tuple[str, bytes, datetime, int]]:
    """The rows as `RowTable.insert` takes them."""
    publication = time.time_ns() // 1_000_000
    fields = {field.name: field_key(table.name, field.name) for field in table.features}
    for key, values, event_at, _ in data:
        cells = pack_cells((fields[name], value.SerializeToString()) for name, value in values.items())
        yield _partition(config, key), cells, event_at, publication
        if progress:
            progress(1)


def _feast_row(row: Any, wanted: dict[bytes, str]) -> tuple[datetime | None, dict[str, Value] | None]:
    """What Feast expects of an entity: no row at all, or the values of the features that are in it."""
    if row is None:
        return None, None
    values = {wanted[field]: Value.FromString(raw) for field, raw in unpack_cells(row.cells) if field in wanted}
    return (row.event_ts, values) if values else (None, None)


def _connected(config: CassandraRowOnlineStoreConfig) -> tuple[Cluster, Session]:
    """A session on the cluster, with the keyspace there."""
    if not config.hosts or not config.load_balancing:
        raise ConfigurationError(
            "feature_store.yaml online_store.stores.cassandra", "hosts or load_balancing is missing", "set both"
        )
    local_dc = config.load_balancing.local_dc
    login = (config.username, config.password) if config.username else None
    cluster, session = connect(
        Address(tuple(config.hosts), config.port or 9042, local_dc, login),
        protocol_version=config.protocol_version or 5,
        connect_timeout_s=config.connect_timeout_s,
        request_timeout_s=config.request_timeout or 10.0,
    )
    if config.keyspace not in cluster.metadata.keyspaces:
        session.execute(
            f'CREATE KEYSPACE IF NOT EXISTS "{config.keyspace}" WITH replication = '
            f"{{'class': 'NetworkTopologyStrategy', '{local_dc}': {config.replication_factor}}}"
        )
    return cluster, session
