"""How fast the rows of a finished batch run go into a Cassandra of their own, and come back: entities a second."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from batch.publish import BATCH_VIEWS
from batch.row_publisher import row_publisher
from feature_repo.store import close_store, register
from infra.processes import cassandra
from tests.benchmark.lake_maker import CUTOFF_MS
from tests.servers import instance_in

AT = datetime.fromtimestamp(CUTOFF_MS / 1000, UTC)


def publish_rows(folder: Path) -> dict[str, Any]:
    """Publish every batch view twice: into an empty table, and over the rows of before."""
    with tempfile.TemporaryDirectory() as state:
        settings = instance_in(Path(state))
        server = cassandra.start(settings)
        try:
            server.wait_ready()
            close_store(register(settings))
            with row_publisher(settings) as publisher:
                return {
                    f"{view.name}_{name}": _timed(publisher, view, folder / "run" / f"{view.name}.parquet", number)
                    for number, name in enumerate(("first", "again"))
                    for view in BATCH_VIEWS
                }
        finally:
            server.stop()


def _timed(publisher: Any, view: Any, path: Path, publication: int) -> dict[str, Any]:
    started, cpu_started = time.perf_counter(), time.process_time()
    done = publisher.publish(view, path, AT, publication)
    taken_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    rows = pq.ParquetFile(path).metadata.num_rows
    return {
        "rows": rows,
        "entities_per_s": round(rows / taken_s),
        "of_which_written_per_s": round(rows / done.write_s),
        "cpu_us_per_entity": round(cpu_s / rows * 1e6),
    }
