"""What the lake knows around sessions: the device of each, and the categories of each item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from batch.lake.interactions import SCHEMA
from batch.lake.layout import PARTITION_COLUMN
from batch.lake.table import Lake
from batch.training.session_log import ORDER
from domain.context import UNKNOWN_DEVICE
from domain.evaluation_lists import Categories
from domain.recommenders.vocabulary import Vocabulary
from infra.settings import Settings


@dataclass(frozen=True, slots=True, eq=False)
class Circumstances:
    """Of a run's sessions (in the order of `DatedSessions.read`) and of its items."""

    device_of: list[str]  # [sessions]
    categories: Categories


def read_circumstances(settings: Settings, sessions: Path, vocabulary: Vocabulary, cutoff_ms: int) -> Circumstances:
    """From the events below the cutoff, as the lake has them now: closed buckets gain none, an erasure takes some."""
    lake = Lake.open(settings.lake_dir, settings.policies.bucket)
    below = ds.field(PARTITION_COLUMN) < cutoff_ms
    return Circumstances(_devices(lake, below, sessions), _categories(lake, below, vocabulary))


def _devices(lake: Lake, below: Any, path: Path) -> list[str]:
    """The device of a session's newest event that names one."""
    table = pq.read_table(path, columns=["visitor_id", "session", "started_at_ms", "ended_at_ms"])
    table = table.take(pc.sort_indices(table, sort_keys=ORDER))
    sessions = table.append_column("number", pa.array(np.arange(len(table))))
    columns = ["visitor_id", "event_id", "occurred_at_ms", "device"]
    found = _query(
        """
        SELECT number, arg_max(device, (occurred_at_ms, event_id))
        FROM events JOIN sessions USING (visitor_id)
        WHERE occurred_at_ms BETWEEN started_at_ms AND ended_at_ms
        GROUP BY number
        """,
        events=_events(lake, columns, below & ds.field("device").is_valid()),
        sessions=sessions,
    )
    device_of = dict(found)
    return [device_of.get(number, UNKNOWN_DEVICE) for number in range(len(table))]


def _categories(lake: Lake, below: Any, vocabulary: Vocabulary) -> Categories:
    """The categories that an item's newest event came with; items of which none is known are left out."""
    columns = ["item_id", "event_id", "occurred_at_ms", "categories"]
    found = _query(
        """
        SELECT item_id, arg_max(categories, (occurred_at_ms, event_id))
        FROM events WHERE len(categories) > 0 GROUP BY item_id
        """,
        events=_events(lake, columns, below),
    )
    known = ((vocabulary.dense(item_id), categories) for item_id, categories in found)
    return {item: frozenset(categories) for item, categories in known if item is not None}


def _events(lake: Lake, columns: Sequence[str], where: Any) -> pa.RecordBatchReader:
    """The events batch by batch."""
    batches = lake.batches(columns, where)
    first = next(batches, None)
    if first is None:
        return pa.RecordBatchReader.from_batches(pa.schema([SCHEMA.field(name) for name in columns]), [])
    return pa.RecordBatchReader.from_batches(first.schema, chain([first], batches))


def _query(text: str, **tables: Any) -> list[tuple[Any, ...]]:
    """The rows of a query over Arrow tables and readers, which DuckDB takes batch by batch."""
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.execute(text).fetchall()
