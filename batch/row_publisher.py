"""Rows of a batch view from their Parquet file into Cassandra: a batch at a time, whatever the number of entities.

Every row carries the publication that wrote it. When all are written the table is read once, from end to end: rows of
other publications belong to keys that this run no longer has, and are removed; the number of our own and the sum of
their hashes must be those of the file. So it does not matter what was in the table before, be it an older run or a
publication that was killed half-way.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import mmh3
import pyarrow.parquet as pq
from cassandra import DriverException, InvalidRequest
from cassandra.cluster import NoHostAvailable, Session

from batch.arrow_rows import cells_of
from feature_repo.cassandra_table import Address, RowTable, RowTooLarge, connect
from feature_repo.layout import EntityKeys
from feature_repo.views import View
from infra.settings import Settings
from schemas.errors import ConsistencyError, DependencyError

ROWS_PER_BATCH: Final = 5_000
REQUEST_TIMEOUT_S: Final = 60.0


class UnreconciledRows(ConsistencyError):
    """The table does not hold what was written into it."""

    def __init__(self, view: str, written: Tally, stored: Tally) -> None:
        self.view = view
        self.written = written
        self.stored = stored
        super().__init__(
            f"view {view}: {written.rows} rows with checksum {written.checksum:016x} were written, but "
            f"{stored.rows} with {stored.checksum:016x} are stored; is somebody else writing this view? "
            "run `python -m batch daily` again"
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows, and the sum of the hashes of their keys and cells: the same in any order."""

    rows: int = 0
    checksum: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.rows + other.rows, (self.checksum + other.checksum) % (1 << 64))

    @classmethod
    def of(cls, rows: Iterable[tuple[str, bytes]]) -> Tally:
        """The tally of partitions and cells."""
        hashes = [mmh3.hash64(partition.encode() + cells, signed=False)[0] for partition, cells in rows]
        return cls(len(hashes), sum(hashes) % (1 << 64))


@dataclass(frozen=True, slots=True)
class RowsPublished:
    """What a publication left in the table, the rows of vanished keys that it removed, and how long each half took."""

    tally: Tally
    removed: int
    write_s: float
    reconcile_s: float


class RowPublisher:
    """Publishes views into one keyspace."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._settings = settings
        self._session = session

    def publish(self, view: View, path: Path, event_at: datetime, publication: int) -> RowsPublished:
        """Make the table hold the rows of the file and no others.

        Raises:
            UnreconciledRows: it does not, afterwards.
            RowTooLarge: Cassandra does not take one of them.
        """
        table = RowTable(self._session, self._settings.cassandra.keyspace, self._settings.feast.project, view.name)
        written, started_s = Tally(), time.monotonic()
        for rows in self._encoded(view, path):
            try:
                table.write(rows, event_at, publication)
            except InvalidRequest as error:
                raise RowTooLarge.named(view.name, error) from error
            written += Tally.of(rows)
        written_s = time.monotonic()
        stored, removed = self._sweep(table, publication)
        if stored != written:
            raise UnreconciledRows(view.name, written, stored)
        return RowsPublished(stored, removed, written_s - started_s, time.monotonic() - written_s)

    def _encoded(self, view: View, path: Path) -> Iterator[list[tuple[str, bytes]]]:
        """Partition and cells of every row, some thousands at a time."""
        layout, keys = view.layout(), EntityKeys(self._settings.feast.project, view.join_key)
        names = [view.join_key, *layout.features]
        for batch in pq.ParquetFile(path).iter_batches(ROWS_PER_BATCH, columns=names):
            entities, *columns = (cells_of(batch.column(name)) for name in names)
            yield list(zip(map(keys.partition, entities), layout.encode_blobs(columns), strict=True))

    def _sweep(self, table: RowTable, publication: int) -> tuple[Tally, int]:
        """The tally of this publication's rows, and how many others there were; these are removed."""
        stored, removed = Tally(), 0
        for rows in table.scan():
            ours = [(row.entity_key, row.cells) for row in rows if row.publication == publication]
            stored += Tally.of(ours)
            others = [row.entity_key for row in rows if row.publication != publication]
            table.remove(others)
            removed += len(others)
        return stored, removed


@contextmanager
def row_publisher(settings: Settings) -> Iterator[RowPublisher]:
    """A publisher for the length of the block; raises DependencyError where Cassandra does not answer."""
    ring = settings.cassandra
    address = Address((ring.host,), ring.port, ring.local_datacentre)
    try:
        cluster, session = connect(address, request_timeout_s=REQUEST_TIMEOUT_S)
        try:
            yield RowPublisher(settings, session)
        finally:
            cluster.shutdown()
    except InvalidRequest:
        raise
    except (DriverException, NoHostAvailable, OSError) as error:
        remedy = "is it up (`python -m infra status`), and is FIRTH_CASSANDRA__PORT the right one?"
        problem = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DependencyError(f"cassandra {ring.host}:{ring.port}", problem, remedy) from error
