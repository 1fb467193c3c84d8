"""The thin reader of Feast's Cassandra: the batch row of a visitor, decoded without Feast.

The driver works in its own thread. It connects in the background and again for as long as the store is away, so the
server starts without it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, Final

from cassandra import DriverException
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, NoHostAvailable, ResponseFuture, Session
from cassandra.policies import ConstantReconnectionPolicy, DCAwareRoundRobinPolicy
from cassandra.query import PreparedStatement

from domain.merge import Cells
from feature_repo.layout import EntityKeys
from feature_repo.layout.keys import table_name
from feature_repo.views import VISITOR_HISTORY
from infra.settings import CassandraSettings
from serving.adapters.breaker import Breaker
from serving.adapters.reachability import is_listening

RETRY_S: Final = 2.0

log = logging.getLogger(__name__)


class CassandraHistory:
    """`BatchFeatures` from Feast's online store."""

    def __init__(self, settings: CassandraSettings, project: str) -> None:
        self._settings = settings
        self._keys = EntityKeys(project, VISITOR_HISTORY.join_key)
        self._layout = VISITOR_HISTORY.layout()
        self._query = (
            f'SELECT cells FROM "{settings.keyspace}"."{table_name(project, VISITOR_HISTORY.name)}" '
            "WHERE entity_key = ?"
        )
        self._cluster: Cluster | None = None
        self._ready: tuple[Session, PreparedStatement] | None = None
        self._stopped = threading.Event()
        self.breaker = Breaker(f"cassandra {settings.host}:{settings.port}", "see `python -m infra status`")
        self._connector = threading.Thread(target=self._connect_until_done, name="cassandra-connector", daemon=True)

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._connector.start()

    @property
    def is_connected(self) -> bool:
        """Whether the table can be asked."""
        return self._ready is not None and not self.breaker.is_open

    def is_at_hand(self, visitor_id: str) -> bool:
        """See `BatchFeatures.is_at_hand`."""
        return False

    async def read(self, visitor_id: str) -> Cells | None:
        """See `BatchFeatures.read`."""
        ready = self._ready
        if ready is None:
            raise self.breaker.fail("not connected yet")
        self.breaker.admit()
        session, statement = ready
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        request = session.execute_async(statement, (self._keys.partition(visitor_id),))
        _bridge(request, loop, answer)
        try:
            rows = await answer
        except (DriverException, NoHostAvailable) as error:
            raise self.breaker.fail(error) from error
        self.breaker.succeed()
        return self._layout.decode_blob(rows[0].cells) if rows else None

    def close(self) -> None:
        """Close the connections."""
        self._stopped.set()
        if self._cluster is not None:
            self._cluster.shutdown()

    def _connect_until_done(self) -> None:
        while not self._stopped.is_set():
            if not is_listening(self._settings.host, self._settings.port):
                self._stopped.wait(RETRY_S)
                continue
            cluster = self._new_cluster()
            try:
                session = cluster.connect()
                self._ready = (session, session.prepare(self._query))
                self._cluster = cluster
                log.info("cassandra.connected", extra={"host": self._settings.host, "port": self._settings.port})
                return
            except (DriverException, NoHostAvailable, OSError) as error:
                cluster.shutdown()
                log.warning("cassandra.awaited", extra={"problem": str(error)})
            self._stopped.wait(RETRY_S)

    def _new_cluster(self) -> Cluster:
        profile = ExecutionProfile(
            load_balancing_policy=DCAwareRoundRobinPolicy(local_dc=self._settings.local_datacentre),
            request_timeout=self._settings.timeout_ms / 1000,
        )
        return Cluster(
            [self._settings.host],
            port=self._settings.port,
            protocol_version=5,
            connect_timeout=5,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
            reconnection_policy=ConstantReconnectionPolicy(RETRY_S, max_attempts=None),
        )


def _bridge(request: ResponseFuture, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any]) -> None:
    """Hand the driver's outcome, which comes in its own thread, to the event loop."""

    def settle(method: str, outcome: Any) -> None:
        if not answer.done():
            getattr(answer, method)(outcome)

    request.add_callbacks(
        lambda rows: loop.call_soon_threadsafe(settle, "set_result", list(rows)),
        lambda error: loop.call_soon_threadsafe(settle, "set_exception", error),
    )
