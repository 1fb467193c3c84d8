"""Rows of the lake that break the contract, and files that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.layout import Layout
from batch.lake.table import Lake
from batch.quarantine import TooManyQuarantined, UnreadableLake, breaches, quarantine, quarantine_file
from domain.impressions import ImpressionRecord
from domain.policies import DAY_MS, BucketPolicy
from schemas.events import PRICE_MICROS_MAX, InteractionContext
from tests.builders import START_MS, impression, record, stamp

POLICY = BucketPolicy()
CUTOFF_MS = START_MS + DAY_MS


def interactions(count: int = 1) -> pa.RecordBatch:
    context = InteractionContext(categories=("a",), attributes={"x": 1}, weight=1.0, price_micros=5)
    return INTERACTIONS.to_rows(
        [record(f"e{at}", offset=at, context=context, value=1.0) for at in range(count)], POLICY
    )


def with_cell(rows: pa.RecordBatch, name: str, cell: Any, row: int = 0) -> pa.RecordBatch:
    """The rows with another cell."""
    column, at = rows[name].to_pylist(), rows.schema.get_field_index(name)
    column[row] = cell
    field = rows.schema.field(name).with_nullable(nullable=True)
    columns = [*rows.columns[:at], pa.array(column, field.type), *rows.columns[at + 1 :]]
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema.set(at, field))


def found_in(lake: Lake, folder: Path, share_max: float = 0.5, layout: Layout[Any] = INTERACTIONS) -> tuple[int, int]:
    done = quarantine(lake, layout, POLICY, cutoff_ms=CUTOFF_MS, folder=folder, share_max=share_max)
    return done.rows, done.quarantined


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("event_id", ""),
        ("visitor_id", None),
        ("item_id", "x" * 600),
        ("kind", "stare"),
        ("kind", None),
        ("occurred_at_ms", -1),
        ("occurred_at_ms", None),
        ("received_at_ms", START_MS + DAY_MS),
        ("partition", -2),
        ("offset", -1),
        ("bucket_ms", START_MS - 1),
        ("value", 1e12),
        ("value", float("nan")),
        ("categories", None),
        ("utc_offset_min", 2_000),
        ("price_micros", -1),
        ("price_micros", PRICE_MICROS_MAX + 1),
        ("weight", 0.0),
        ("attributes", "{"),
        ("attributes", "[]"),
    ],
)
def test_a_cell_that_the_contract_forbids_is_the_reason(name: str, cell: Any) -> None:
    found = breaches(with_cell(interactions(3), name, cell, row=1), INTERACTIONS, POLICY)
    assert list(found) == [1]
    assert found[1] in (name, "bucket_ms")


@pytest.mark.parametrize("name", ["user_id", "session_id", "value", "weight", "price_micros", "attributes", "device"])
def test_what_may_be_missing_may_be_missing(name: str) -> None:
    assert breaches(with_cell(interactions(), name, None), INTERACTIONS, POLICY) == {}


@pytest.mark.parametrize(("name", "cell"), [("slate_id", ""), ("items", None), ("shown_at_ms", -5)])
def test_impressions_are_looked_at_too(name: str, cell: Any) -> None:
    rows = IMPRESSIONS.to_rows([ImpressionRecord(impression(), stamp())], POLICY)
    assert breaches(rows, IMPRESSIONS, POLICY) == {}
    assert breaches(with_cell(rows, name, cell), IMPRESSIONS, POLICY) == {0: name}


def lake_with(folder: Path, *batches: pa.RecordBatch) -> Lake:
    lake = Lake.open(folder, POLICY)
    for rows in batches:
        lake.append([rows], {})
    return lake


def broken(count: int, *numbers: int) -> pa.RecordBatch:
    rows = interactions(count)
    for number in numbers:
        rows = with_cell(rows, "item_id", "", row=number)
    return pa.RecordBatch.from_arrays(rows.columns, schema=INTERACTIONS.schema)


def test_broken_rows_are_counted_and_written_beside_with_their_reason(tmp_path: Path) -> None:
    lake = lake_with(tmp_path / "lake", broken(6, 2, 4))
    assert found_in(lake, tmp_path) == (6, 2)
    told = pq.read_table(quarantine_file(tmp_path, INTERACTIONS)).to_pylist()
    assert [(one["partition"], one["offset"], one["reason"]) for one in told] == [(0, 2, "item_id"), (0, 4, "item_id")]
    assert '"event_id":"e2"' in told[0]["row"]
    assert (tmp_path / "lake" / told[0]["file"]).exists()


def test_a_clean_lake_leaves_no_file_not_even_an_old_one(tmp_path: Path) -> None:
    quarantine_file(tmp_path, INTERACTIONS).touch()
    assert found_in(lake_with(tmp_path / "lake", interactions(3)), tmp_path) == (3, 0)
    assert list(tmp_path.glob("quarantine*")) == []


def test_rows_at_and_above_the_cutoff_are_nobodys_business_yet(tmp_path: Path) -> None:
    later = INTERACTIONS.to_rows([record("late", received_at_ms=CUTOFF_MS, offset=9)], POLICY)
    lake = lake_with(tmp_path / "lake", interactions(2), later)
    assert found_in(lake, tmp_path) == (2, 0)


def test_too_many_stop_the_run_and_say_where_to_look_and_how_to_go_on(tmp_path: Path) -> None:
    lake = lake_with(tmp_path / "lake", broken(4, 1))
    with pytest.raises(TooManyQuarantined, match="1 of 4 rows of interactions") as stopped:
        found_in(lake, tmp_path, share_max=0.1)
    assert str(quarantine_file(tmp_path, INTERACTIONS)) in str(stopped.value)
    share = float(str(stopped.value).rpartition("SHARE_MAX=")[2])
    assert found_in(lake, tmp_path, share_max=share) == (4, 1)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    lake = lake_with(tmp_path / "lake", interactions(3))
    (path,) = (tmp_path / "lake").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UnreadableLake, match=path.name):
        found_in(lake, tmp_path)


def test_a_file_from_before_a_column_was_added_is_read_with_nulls(tmp_path: Path) -> None:
    from tests.unit.batch.test_archiver_impressions import older_lake

    older_lake(tmp_path / "lake")
    lake = Lake.open(tmp_path / "lake", BucketPolicy(period_ms=60_000))
    assert found_in(lake, tmp_path)[0] == 1
