"""The parquet files that Feast reads a view from: where they are and their columns."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from domain.aggregates import ColumnType
from feature_repo.views import STORED_VIEWS, View

TIMESTAMP_COLUMN: Final = "event_timestamp"
"""As of when a row holds; for a batch view its cutoff. Microseconds, UTC: Feast loses finer ones."""

_ARROW_TYPES: Final = {
    ColumnType.INT: pa.int64(),
    ColumnType.FLOAT: pa.float64(),
    ColumnType.STRING: pa.string(),
    ColumnType.INTS: pa.list_(pa.int64()),
    ColumnType.FLOATS: pa.list_(pa.float64()),
    ColumnType.STRINGS: pa.list_(pa.string()),
    ColumnType.INT_LISTS: pa.list_(pa.list_(pa.int64())),
    ColumnType.STRING_LISTS: pa.list_(pa.list_(pa.string())),
}


def offline_path(offline_dir: str | Path, view: str) -> str:
    """The parquet file of a view, or the folder of its parts. It is text, as Feast also reads from object stores."""
    return f"{offline_dir}/{view}.parquet"


def arrow_schema(view: View) -> pa.Schema:
    """The columns of a view's file: the join key, the time, the features."""
    features = [(name, _ARROW_TYPES[column_type]) for name, column_type in view.columns]
    return pa.schema([(view.join_key, pa.string()), (TIMESTAMP_COLUMN, pa.timestamp("us", tz="UTC")), *features])


def leave_speed_files_empty(offline_dir: Path) -> None:
    """Write a file without rows for every speed-owned view that has none.

    Feast insists on a file behind a pushed view, and a bare `feast materialize` reads it; there is nothing to load.
    """
    offline_dir.mkdir(parents=True, exist_ok=True)
    for view in STORED_VIEWS:
        path = Path(offline_path(offline_dir, view.name))
        if view.owner == "speed" and not path.exists():
            pq.write_table(arrow_schema(view).empty_table(), path)
