"""The Cassandra table of `visitor_history` as Feast declares it, filled by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy

from domain.merge import Cells
from feature_repo.layout import EntityKeys, encoder_of
from feature_repo.layout.keys import table_name
from feature_repo.views import VISITOR_HISTORY
from infra.settings import CassandraSettings

KEYSPACE = "CREATE KEYSPACE \"{}\" WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
TABLE = """CREATE TABLE {} (entity_key text, feature_name text, value blob, event_ts timestamp, created_ts timestamp,
PRIMARY KEY ((entity_key), feature_name)) WITH CLUSTERING ORDER BY (feature_name ASC)"""


class HistoryTable:
    """The table in a keyspace of its own."""

    def __init__(self, cluster: Cluster, session: Any, name: str, project: str) -> None:
        self._cluster = cluster
        self._session = session
        self._insert = session.prepare(
            f"INSERT INTO {name} (feature_name, value, entity_key, event_ts) VALUES (?, ?, ?, ?)"
        )
        self._keys = EntityKeys(project, VISITOR_HISTORY.join_key)
        self._types = VISITOR_HISTORY.layout().types

    @classmethod
    def create(cls, settings: CassandraSettings, project: str) -> HistoryTable:
        """Create keyspace and table."""
        profile = ExecutionProfile(
            load_balancing_policy=DCAwareRoundRobinPolicy(local_dc=settings.local_datacentre), request_timeout=60
        )
        cluster = Cluster(
            [settings.host],
            port=settings.port,
            protocol_version=5,
            connect_timeout=30,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        session = cluster.connect()
        session.execute(KEYSPACE.format(settings.keyspace))
        name = f'"{settings.keyspace}"."{table_name(project, VISITOR_HISTORY.name)}"'
        session.execute(TABLE.format(name))
        return cls(cluster, session, name, project)

    def put(self, visitor_id: str, cells: Cells) -> None:
        """Write the row of a visitor."""
        partition = self._keys.partition(visitor_id)
        for feature, value in cells.items():
            raw = b"" if value is None else encoder_of(self._types[feature])(value)
            self._session.execute(self._insert, (feature, raw, partition, datetime.now(UTC)))

    def close(self) -> None:
        """Close the connections."""
        self._cluster.shutdown()
