"""Arrow columns as Python lists, quickly: lists are cut out of one flat list, instead of being made cell by cell."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa


def cells_of(column: pa.Array) -> list[Any]:
    """The cells of a column, as `to_pylist` would give them."""
    if pa.types.is_list(column.type):
        members, ends = cells_of(column.flatten()), column.offsets.to_numpy()
        if not column.null_count:
            return [members[start:end] for start, end in pairwise((ends - ends[0]).tolist())]
    elif pa.types.is_int64(column.type) and not column.null_count:
        numbers: list[Any] = column.to_numpy().tolist()
        return numbers
    cells: list[Any] = column.to_pylist()
    return cells
