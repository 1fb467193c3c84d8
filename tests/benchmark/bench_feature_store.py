"""What a feature costs: to lay out, to load, to read through Feast's SDK and to read in its layout.

    python -m tests.benchmark.bench_feature_store [--rows 5000] [--reads 1000]

Starts a Redis and a Cassandra of its own, and writes the numbers to bench/results/feature_store.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from cassandra.cluster import Cluster
from feast import FeatureStore
from redis import Redis

from domain.merge import merge_cells, session_cells
from feature_repo.layout import EntityKeys
from feature_repo.layout.keys import table_name
from feature_repo.offline import TIMESTAMP_COLUMN, arrow_schema, offline_path
from feature_repo.store import close_store, register
from feature_repo.views import VISITOR_HISTORY, VISITOR_RECENT, VISITOR_SESSION
from infra.processes import cassandra, redis
from infra.settings import Settings
from tests.benchmark.bench_session_knn import environment
from tests.rows import POLICIES, history_cells, recent_cells, visitor_row
from tests.servers import instance_in

RESULTS = Path("bench/results/feature_store.json")
CUTOFF = datetime(2025, 6, 17, tzinfo=UTC)
ROW = visitor_row(days=range(4), each=15)
SESSION = session_cells(ROW, POLICIES)
RECENT = recent_cells("visitor", ROW)
HISTORY = history_cells("visitor", days=range(2), each=15)


@contextmanager
def servers(settings: Settings) -> Iterator[None]:
    """Redis and Cassandra, until the block ends."""
    with ExitStack() as stack:
        for start in (redis.start, cassandra.start):
            server = start(settings)
            stack.callback(server.stop)
            server.wait_ready()
        yield


def latency(call: Callable[[], object], times: int) -> dict[str, float]:
    """Wall-clock and CPU time of one call after another, in microseconds."""
    for _ in range(times // 10):
        call()
    taken_ns, cpu_started = [], time.process_time()
    for _ in range(times):
        started_ns = time.perf_counter_ns()
        call()
        taken_ns.append(time.perf_counter_ns() - started_ns)
    cpu_us = (time.process_time() - cpu_started) / times * 1e6
    p50, p99 = np.percentile(taken_ns, (50, 99)) / 1000
    return {"p50_us": round(float(p50), 1), "p99_us": round(float(p99), 1), "cpu_us": round(cpu_us, 1)}


def materialise(store: FeatureStore, settings: Settings, rows: int) -> dict[str, float]:
    """Rows a second of `feast materialize` into Cassandra, reading of the parquet file included."""
    records = [
        {VISITOR_HISTORY.join_key: f"visitor-{number}", TIMESTAMP_COLUMN: CUTOFF, **HISTORY} for number in range(rows)
    ]
    path = offline_path(settings.offline_dir, VISITOR_HISTORY.name)
    pq.write_table(pa.Table.from_pylist(records, schema=arrow_schema(VISITOR_HISTORY)), path)
    started, cpu_started = time.perf_counter(), time.process_time()
    store.materialize(CUTOFF - timedelta(days=1), CUTOFF + timedelta(days=1), [VISITOR_HISTORY.name])
    taken_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    return {"rows": rows, "rows_per_s": round(rows / taken_s), "cpu_us_per_row": round(cpu_s / rows * 1e6)}


def layout_reader(settings: Settings) -> tuple[Callable[[], Any], Callable[[], Any], Callable[[], None]]:
    """Read a visitor's two speed rows; read its batch row as well and merge; close the connections."""
    client: Any = Redis(settings.redis.host, settings.redis.port)
    cluster = Cluster([settings.cassandra.host], port=settings.cassandra.port, protocol_version=5)
    connection = cluster.connect(settings.cassandra.keyspace)
    table = table_name(settings.feast.project, VISITOR_HISTORY.name)
    select = connection.prepare(f"SELECT cells FROM {table} WHERE entity_key = ?")
    keys = EntityKeys(settings.feast.project, "visitor_id")
    session, recent, history = VISITOR_SESSION.layout(), VISITOR_RECENT.layout(), VISITOR_HISTORY.layout()

    def speed_rows() -> tuple[Any, Any]:
        raws = client.hmget(keys.key("visitor-0"), [*session.fields, *recent.fields])
        return session.decode(raws[: len(session.fields)]), recent.decode(raws[len(session.fields) :])

    def merged() -> Any:
        found = connection.execute(select, (keys.partition("visitor-0"),))
        cells = history.decode_blob(found.one().cells)
        return merge_cells("visitor", cells, speed_rows()[1])

    def close() -> None:
        client.close()
        cluster.shutdown()

    return speed_rows, merged, close


def run(settings: Settings, rows: int, reads: int) -> dict[str, object]:
    """Every figure, on running servers."""
    assert SESSION is not None
    session, recent = VISITOR_SESSION.layout(), VISITOR_RECENT.layout()
    flat = [*session.encode(SESSION, 1), *recent.encode(RECENT, 1)]
    stored = dict(zip(flat[::2], flat[1::2], strict=True))
    with Redis(settings.redis.host, settings.redis.port) as client:
        client.hset(EntityKeys(settings.feast.project, "visitor_id").key("visitor-0"), items=flat)
    numbers: dict[str, object] = {
        "row_bytes": sum(map(len, flat)),
        "encode_session_row": latency(lambda: session.encode(SESSION, 1), 5_000),
        "encode_recent_row": latency(lambda: recent.encode(RECENT, 1), 5_000),
        "decode_session_row": latency(lambda: session.decode([stored[field] for field in session.fields]), 5_000),
        "decode_recent_row": latency(lambda: recent.decode([stored[field] for field in recent.fields]), 5_000),
        "merge": latency(lambda: merge_cells("visitor", HISTORY, RECENT), 2_000),
    }
    store = register(settings)
    numbers["materialise"] = materialise(store, settings, rows)
    service, entity = store.get_feature_service("session_v1"), [{"visitor_id": "visitor-0"}]
    numbers["read_session_v1_by_sdk"] = latency(lambda: store.get_online_features(service, entity), reads)
    close_store(store)
    speed_rows, merged, close = layout_reader(settings)
    numbers["read_speed_rows_by_layout"] = latency(speed_rows, reads)
    numbers["read_and_merge_by_layout"] = latency(merged, reads)
    close()
    return numbers


def main() -> None:
    """Read the arguments, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--reads", type=int, default=1_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = instance_in(Path(folder))
        with servers(settings):
            numbers = environment() | run(settings, arguments.rows, arguments.reads)
    for name, value in numbers.items():
        print(f"{name:26} {value}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
