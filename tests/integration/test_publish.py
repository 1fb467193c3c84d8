"""Rows of batch views into the real Cassandra, read back with Feast: vanished keys, kills and strangers."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cassandra.cluster import Session
from feast import FeatureStore

from batch.publish import publish
from batch.row_publisher import ROWS_PER_BATCH, RowPublisher, UnreconciledRows, row_publisher
from feature_repo.cassandra_table import Address, RowTable, connect
from feature_repo.layout import EntityKeys
from feature_repo.offline import TIMESTAMP_COLUMN, arrow_schema
from feature_repo.store import close_store, open_store, register
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, View
from infra.settings import CassandraSettings, RedisSettings, Settings
from schemas.errors import DependencyError
from tests.builders import START_MS
from tests.integration.feast_rows import read_view
from tests.rows import history_cells
from tests.servers import instance_in

AT = datetime.fromtimestamp(START_MS / 1000, UTC)
CELLS = {
    view: [history_cells(view.entity, days=range(days), each=4) for days in (1, 2, 3)]
    for view in (VISITOR_HISTORY, ITEM_PROFILE)
}
MANY = ROWS_PER_BATCH + 200


@pytest.fixture(scope="module")
def registered(module_settings: Settings, redis_server: RedisSettings, cassandra: CassandraSettings) -> Settings:
    close_store(register(module_settings))
    return module_settings


@pytest.fixture(scope="module")
def session(registered: Settings) -> Iterator[Session]:
    ring = registered.cassandra
    cluster, session = connect(Address((ring.host,), ring.port, ring.local_datacentre), request_timeout_s=60)
    yield session
    cluster.shutdown()


@pytest.fixture(scope="module")
def store(registered: Settings) -> Iterator[FeatureStore]:
    store = open_store(registered)
    yield store
    close_store(store)


def cells_of(view: View, number: int, salt: int = 0) -> dict[str, Any]:
    return CELLS[view][(number + salt) % len(CELLS[view])]


def write_file(path: Path, view: View, numbers: range, salt: int = 0) -> Path:
    rows = [{view.join_key: f"key-{each}", TIMESTAMP_COLUMN: AT, **cells_of(view, each, salt)} for each in numbers]
    pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(view)), path, row_group_size=1_000)
    return path


def table_of(settings: Settings, session: Session, view: View) -> RowTable:
    return RowTable(session, settings.cassandra.keyspace, settings.feast.project, view.name)


def stored(settings: Settings, session: Session, view: View) -> dict[str, dict[str, Any]]:
    """Partition to cells of the whole table."""
    table, layout = table_of(settings, session, view), view.layout()
    return {row.entity_key: layout.decode_blob(row.cells) for page in table.scan() for row in page}


def expected(settings: Settings, view: View, numbers: range, salt: int = 0) -> dict[str, dict[str, Any]]:
    keys = EntityKeys(settings.feast.project, view.join_key)
    return {keys.partition(f"key-{each}"): cells_of(view, each, salt) for each in numbers}


def test_the_store_holds_the_rows_of_the_last_run_and_no_others(
    registered: Settings, session: Session, store: FeatureStore, tmp_path: Path
) -> None:
    for numbers, salt, removed in ((range(300), 0, 0), (range(100, 400), 1, 100), (range(100, 400), 1, 0)):
        files = {view.name: write_file(tmp_path / f"{view.name}.parquet", view, numbers, salt) for view in CELLS}
        done = publish(registered, files, START_MS)
        assert done.rows == {view.name: 300 for view in CELLS}
        assert done.removed == {view.name: removed for view in CELLS}
        for view in CELLS:
            assert stored(registered, session, view) == expected(registered, view, numbers, salt)
    assert read_view(store, VISITOR_HISTORY, "key-150") == cells_of(VISITOR_HISTORY, 150, 1)
    assert set(read_view(store, VISITOR_HISTORY, "key-50").values()) == {None}


def test_a_publication_that_was_killed_half_way_is_put_right_by_the_next(
    registered: Settings, session: Session, tmp_path: Path
) -> None:
    path = write_file(tmp_path / "many.parquet", VISITOR_HISTORY, range(MANY))
    settings_file = tmp_path / "settings.json"
    settings_file.write_text(registered.model_dump_json())
    command = [sys.executable, "-m", "tests.integration.publish_command", str(settings_file), str(path), "11"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    pages = table_of(registered, session, VISITOR_HISTORY).scan()
    half_way = sum(row.publication == 11 for page in pages for row in page)
    assert 0 < half_way < MANY
    kept = range(MANY - 100, MANY + 100)
    with row_publisher(registered) as publisher:
        done = publisher.publish(VISITOR_HISTORY, write_file(tmp_path / "kept.parquet", VISITOR_HISTORY, kept), AT, 12)
    assert done.tally.rows == len(kept)
    assert done.removed >= half_way - len(kept)
    assert stored(registered, session, VISITOR_HISTORY) == expected(registered, VISITOR_HISTORY, kept)


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_a_row_that_a_stranger_removed_or_changed_is_found(
    registered: Settings, session: Session, tmp_path: Path, change: str
) -> None:
    path = write_file(tmp_path / "few.parquet", ITEM_PROFILE, range(20))
    [one] = expected(registered, ITEM_PROFILE, range(1))

    class Disturbed(RowPublisher):
        def _sweep(self, table: RowTable, publication: int) -> Any:
            if change == "removed":
                table.remove([one])
            else:
                table.write([(one, b"")], AT, publication)
            return super()._sweep(table, publication)

    with pytest.raises(UnreconciledRows, match="20 rows"):
        Disturbed(registered, session).publish(ITEM_PROFILE, path, AT, 21)


def test_a_cassandra_that_is_away_is_named(registered: Settings, tmp_path: Path) -> None:
    absent = instance_in(tmp_path).cassandra
    with (
        pytest.raises(DependencyError, match=f"{absent.port}.*FIRTH_CASSANDRA__PORT"),
        row_publisher(registered.model_copy(update={"cassandra": absent})),
    ):
        pass
