"""The Cassandra table of a batch view, one row an entity. Nothing here needs Feast.

entity_key text PRIMARY KEY   Feast's serialised entity key in hexadecimal, as in its stock layout
cells blob                    all features: `feature_repo.layout.cells`
event_ts timestamp            as of when the row holds: the cutoff
publication bigint            who wrote the row: after a complete publication all rows have the same
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cassandra import InvalidRequest
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.policies import DCAwareRoundRobinPolicy, TokenAwarePolicy
from cassandra.query import SimpleStatement

from feature_repo.layout.keys import table_name
from schemas.errors import ConsistencyError

IN_FLIGHT: Final = 128
"""Writes at once: a node takes some tens of them together, and more only wait there instead of here."""

PAGE_ROWS: Final = 1_000
"""Of a scan; at a few KB a row a page stays well below what a node may hold in memory for a request."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ring is, and who we are there."""

    hosts: tuple[str, ...]
    port: int
    local_datacentre: str
    login: tuple[str, str | None] | None = None


class RowTooLarge(ConsistencyError):
    """A row exceeds what Cassandra takes in one mutation, and splitting it would let readers see half of it."""

    def __init__(self, view: str, problem: str) -> None:
        self.view = view
        super().__init__(
            f"view {view}: Cassandra refused a row ({problem}); bound the feature that grew, "
            "or raise max_mutation_size in cassandra.yaml"
        )

    @classmethod
    def named(cls, view: str, error: InvalidRequest) -> Exception:
        """The error to raise: this one, or the driver's own where it says something else."""
        return cls(view, str(error)) if "too large" in str(error) else error


class RowTable:
    """The statements of one view's table, prepared. Raises InvalidRequest where the table is absent."""

    def __init__(self, session: Session, keyspace: str, project: str, view: str) -> None:
        self._session = session
        self.name = self.full_name(keyspace, project, view)
        columns = "(entity_key, cells, event_ts, publication)"
        self.insert = session.prepare(f"INSERT INTO {self.name} {columns} VALUES (?, ?, ?, ?)")
        self.select = session.prepare(f"SELECT cells, event_ts FROM {self.name} WHERE entity_key = ?")
        self.delete = session.prepare(f"DELETE FROM {self.name} WHERE entity_key = ?")

    @staticmethod
    def full_name(keyspace: str, project: str, view: str) -> str:
        """The name of the table, quoted, with its keyspace."""
        return f'"{keyspace}"."{table_name(project, view)}"'

    @classmethod
    def definition(cls, keyspace: str, project: str, view: str) -> str:
        """The statement that creates the table where it is absent."""
        columns = "entity_key text PRIMARY KEY, cells blob, event_ts timestamp, publication bigint"
        return f"CREATE TABLE IF NOT EXISTS {cls.full_name(keyspace, project, view)} ({columns})"

    def write(self, rows: Sequence[tuple[str, bytes]], event_at: datetime, publication: int) -> None:
        """Write partitions and cells, many in flight; raises as the driver does, with some of them written."""
        stamped = ((partition, cells, event_at, publication) for partition, cells in rows)
        execute_concurrent_with_args(self._session, self.insert, stamped, concurrency=IN_FLIGHT)

    def remove(self, partitions: Sequence[str]) -> None:
        """Remove the rows of these partitions."""
        keys = ((partition,) for partition in partitions)
        execute_concurrent_with_args(self._session, self.delete, keys, concurrency=IN_FLIGHT)

    def scan(self) -> Iterator[list[Any]]:
        """Every row (entity_key, cells, publication), by pages."""
        every = SimpleStatement(f"SELECT entity_key, cells, publication FROM {self.name}", fetch_size=PAGE_ROWS)
        page = self._session.execute(every)
        yield page.current_rows
        while page.has_more_pages:
            page.fetch_next_page()
            yield page.current_rows


def connect(
    address: Address, *, protocol_version: int = 5, connect_timeout_s: int = 10, request_timeout_s: float = 10.0
) -> tuple[Cluster, Session]:
    """A session on the ring; raises as the driver does."""
    profile = ExecutionProfile(
        load_balancing_policy=TokenAwarePolicy(DCAwareRoundRobinPolicy(local_dc=address.local_datacentre)),
        request_timeout=request_timeout_s,
    )
    cluster = Cluster(
        list(address.hosts),
        port=address.port,
        auth_provider=PlainTextAuthProvider(*address.login) if address.login else None,
        protocol_version=protocol_version,
        connect_timeout=connect_timeout_s,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
    )
    try:
        return cluster, cluster.connect()
    except Exception:
        cluster.shutdown()
        raise
