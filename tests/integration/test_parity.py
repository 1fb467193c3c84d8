"""Parity over the real Kafka, Redis and Cassandra. The stream is the domain's states in memory, the bytes are real."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from batch.lake.archiver import now_ms
from batch.parity import compare
from batch.parity_findings import Parity
from feature_repo.offline import TIMESTAMP_COLUMN
from feature_repo.store import close_store, open_store, register
from feature_repo.views import ITEM_PROFILE, VISITOR_SESSION
from infra.settings import CassandraSettings, RedisSettings, Settings
from tests.integration.parity_world import ITEMS, VISITORS, World, run_parity


@pytest.fixture
def world(settings: Settings, topics: list[str], redis_server: RedisSettings, cassandra: CassandraSettings) -> World:
    close_store(register(settings))
    return World(settings)


def today_ms(world: World) -> int:
    return world.settings.policies.bucket.start_of(now_ms())


def named(found: dict[str, Any], feature: str, key: str) -> dict[str, Any]:
    """The one finding of this feature and key."""
    (one,) = [one for one in found["worst"] if (one["feature"], one["key"]) == (feature, key)]
    return dict(one)


def test_stores_agree_with_the_log_before_and_after_batch_and_faults_are_named(world: World, tmp_path: Path) -> None:
    world.import_history(tmp_path, 400)
    world.stream(world.send(600))
    before = compare(world.settings, sample=None, is_at_rest=True)
    assert (before.mismatches, before.worst) == (0, [])
    assert before.rows == 3 * VISITORS + 2 * ITEMS  # session, recent and merged; trend and merged

    world.publish(today_ms(world))
    world.stream(world.send(200))
    code, found = run_parity(world.settings, "--all", "--at-rest")
    assert (code, found["mismatches"], found["unsettled"], found["worst"]) == (0, 0, 0, [])
    assert (found["history_gaps"], found["incomplete"]) == (0, 0)
    assert found["rows"] == 4 * VISITORS + 3 * ITEMS + 2 * 5

    was = world.change(VISITOR_SESSION, "v7", lambda cells: {"session_length": cells["session_length"] + 1})
    world.drop("visitor", "v8")
    world.rename("item", "i3", "nobody-sent-this")
    right = move_back_a_day(world, "i4")
    code, found = run_parity(world.settings, "--all", "--settle", "3")
    assert code == 1
    length = was["session_length"]
    assert named(found, "session_length", "v7") == {
        "feature": "session_length",
        "key": "v7",
        "expected": length,
        "actual": length + 1,
    }
    assert named(found, "recent_offsets", "v8")["actual"] == {}
    assert named(found, "recent_buckets_ms", "nobody-sent-this")["expected"] == []
    assert named(found, "cutoff_ms", "i4")["expected"] == right
    assert {one["key"] for one in found["worst"]} == {"v7", "v8", "nobody-sent-this", "i4"}


def move_back_a_day(world: World, item: str) -> int:
    """Let an item's batch row be of the day before; returns its right cutoff."""
    right_ms = today_ms(world)
    rows = pq.read_table(world.settings.state_dir / f"{ITEM_PROFILE.name}-{right_ms}.parquet").to_pylist()
    row = next(row for row in rows if row["item_id"] == item)
    at = datetime.fromtimestamp(right_ms / 1000 + 1, UTC)
    store = open_store(world.settings)
    wrong_ms = right_ms - world.settings.policies.bucket.period_ms
    frame = pd.DataFrame([{**row, TIMESTAMP_COLUMN: at, "cutoff_ms": wrong_ms}])
    store.write_to_online_store(ITEM_PROFILE.name, frame)
    close_store(store)
    return right_ms


def test_rows_that_the_stream_owes_are_missed(world: World) -> None:
    world.send(50)
    found: Parity = compare(world.settings, sample=5, is_at_rest=False, settle_limit_s=0)
    assert found.mismatches == 10
    assert {one.feature for one in found.worst} == {"recent_offsets"}
