"""Feast's Cassandra store in its stock layout, but quick to fill: one partition-wide batch an entity, many in flight.

A batch is one mutation of one partition, so a reader sees a row of the old run or of the new one, never half of each.
The stock store sends every feature as a statement of its own, which is neither atomic nor quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from cassandra import InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.concurrent import execute_concurrent
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import PreparedStatement
from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.cassandra_online_store.cassandra_online_store import (
    CassandraOnlineStore,
    CassandraOnlineStoreConfig,
)
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from pydantic import StrictInt, StrictStr

from schemas.errors import ConfigurationError, ConsistencyError

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

_INSERT = "INSERT INTO {table} (feature_name, value, entity_key, event_ts) VALUES (?, ?, ?, ?);"


class BatchedCassandraOnlineStoreConfig(CassandraOnlineStoreConfig):
    """The stock configuration, and how to create the keyspace when it is absent."""

    type: StrictStr = "feature_repo.cassandra_store.BatchedCassandraOnlineStore"  # type: ignore[assignment]
    replication_factor: StrictInt = 1
    connect_timeout_s: StrictInt = 10


class RowTooLarge(ConsistencyError):
    """A row exceeds what Cassandra takes in one batch, and splitting it would let readers see half of it."""

    def __init__(self, view: str, problem: str) -> None:
        self.view = view
        super().__init__(
            f"view {view}: Cassandra refused a row ({problem}); bound the feature that grew, "
            "or raise batch_size_fail_threshold in cassandra.yaml"
        )


class BatchedCassandraOnlineStore(CassandraOnlineStore):
    """Reads are the stock store's; writes go by entity; the keyspace is created when absent."""

    def __init__(self) -> None:
        # The stock class shares this dictionary between all instances, whatever cluster each is connected to.
        self._prepared_statements: dict[str, PreparedStatement] = {}

    def _get_session(self, config: RepoConfig) -> Session:
        if self._session is None:
            self._cluster, self._session = _connect(config.online_store)
            self._keyspace = config.online_store.keyspace
        return self._session

    def disconnect(self) -> None:
        """Close the connections; the next call opens them again."""
        if self._cluster is not None:
            self._cluster.shutdown()
        self._cluster = self._session = None
        self._prepared_statements.clear()

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> None:
        session = self._get_session(config)
        statements = self._statements(config, table, data, progress)
        try:
            execute_concurrent(session, statements, concurrency=config.online_store.write_concurrency)
        except InvalidRequest as error:
            if "too large" not in str(error):
                raise
            raise RowTooLarge(table.name, str(error)) from error

    def _statements(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: Sequence[FeastRow],
        progress: Callable[[int], Any] | None,
    ) -> Iterator[tuple[PreparedStatement, list[Any]]]:
        for entity_key, values, event_at, _ in data:
            partition = serialize_entity_key(entity_key, config.entity_key_serialization_version).hex()
            cells: list[Any] = []
            for feature, value in values.items():
                cells += (feature, value.SerializeToString(), partition, event_at)
            yield self._batch_of(len(values), config, table), cells
            if progress:
                progress(1)

    def _batch_of(self, features: int, config: RepoConfig, table: FeatureView) -> PreparedStatement:
        insert = _INSERT.format(table=self._fq_table_name(self._keyspace, config.project, table))
        batch = f"BEGIN UNLOGGED BATCH {insert * features} APPLY BATCH"
        if batch not in self._prepared_statements:
            self._prepared_statements[batch] = self._get_session(config).prepare(batch)
        return self._prepared_statements[batch]


def _connect(config: BatchedCassandraOnlineStoreConfig) -> tuple[Cluster, Session]:
    """A session on the cluster, with the keyspace there."""
    if not config.hosts or not config.load_balancing:
        raise ConfigurationError(
            "feature_store.yaml online_store.stores.cassandra", "hosts or load_balancing is missing", "set both"
        )
    local_dc = config.load_balancing.local_dc
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=local_dc)),
        request_timeout=config.request_timeout or 10.0,
    )
    login = PlainTextAuthProvider(config.username, config.password) if config.username else None
    cluster = Cluster(
        config.hosts,
        port=config.port or 9042,
        auth_provider=login,
        protocol_version=config.protocol_version or 5,
        connect_timeout=config.connect_timeout_s,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        session = cluster.connect()
    except Exception:
        cluster.shutdown()
        raise
    if config.keyspace not in cluster.metadata.keyspaces:
        session.execute(
            f'CREATE KEYSPACE IF NOT EXISTS "{config.keyspace}" WITH replication = '
            f"{{'class': 'NetworkTopologyStrategy', '{local_dc}': {config.replication_factor}}}"
        )
    return cluster, session
