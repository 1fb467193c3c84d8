"""The Cassandra table of `visitor_history` as Feast declares it, filled by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import DCAwareRoundRobinPolicy

from domain.merge import Cells
from feature_repo.cassandra_table import RowTable
from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_HISTORY
from infra.settings import CassandraSettings

KEYSPACE = "CREATE KEYSPACE \"{}\" WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"


class HistoryTable:
    """The table in a keyspace of its own."""

    def __init__(self, cluster: Cluster, session: Any, table: RowTable, project: str) -> None:
        self._cluster = cluster
        self._session = session
        self._table = table
        self._keys = EntityKeys(project, VISITOR_HISTORY.join_key)
        self._layout = VISITOR_HISTORY.layout()

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
        session.execute(RowTable.definition(settings.keyspace, project, VISITOR_HISTORY.name))
        return cls(cluster, session, RowTable(session, settings.keyspace, project, VISITOR_HISTORY.name), project)

    def put(self, visitor_id: str, cells: Cells) -> None:
        """Write the row of a visitor."""
        blob = self._layout.encode_blob([cells[feature] for feature in self._layout.features])
        self._table.write([(self._keys.partition(visitor_id), blob)], datetime.now(UTC), publication=0)

    def close(self) -> None:
        """Close the connections."""
        self._cluster.shutdown()
