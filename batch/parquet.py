"""A Spark frame as one Parquet file: computed in parallel, joined afterwards, complete or absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

ROWS_PER_GROUP = 64 * 1024


def write_file(frame: DataFrame, path: Path) -> int:
    """Write the frame's rows to `path`; returns how many there are."""
    parts = path.with_suffix(".parts")
    shutil.rmtree(parts, ignore_errors=True)
    frame.write.parquet(str(parts))
    rows, waiting = 0, path.with_suffix(".waiting")
    dataset = ds.dataset(parts, format="parquet")
    with pq.ParquetWriter(waiting, dataset.schema, compression="zstd") as writer:
        for batch in dataset.to_batches(batch_size=ROWS_PER_GROUP):
            if batch.num_rows:
                writer.write_batch(batch)
                rows += batch.num_rows
    waiting.replace(path)
    shutil.rmtree(parts)
    return rows
