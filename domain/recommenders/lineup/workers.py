"""Batches of queries over a few threads: the kernels hold no interpreter lock."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from domain.recommenders.lineup.queries import Queries

THREADS: Final = 2
QUERIES_AT_ONCE: Final = 512
ROWS_FOR_ONE: Final = 4096

T = TypeVar("T")
Rows = npt.NDArray[np.float32]

_POOL: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="ranking")
"""One pool for the process: the recommenders keep working memory for each thread that ever asked them."""


def in_parts(work: Callable[[Queries, slice], T], queries: Queries, at_once: int = QUERIES_AT_ONCE) -> list[T]:
    """`work` for one part of the queries after the other, in their order; at least one part."""
    if len(queries) <= at_once:
        return [work(queries, slice(0, len(queries)))]
    parts = [slice(first, min(first + at_once, len(queries))) for first in range(0, len(queries), at_once)]
    return list(_POOL.map(lambda part: work(queries.between(part.start, part.stop), part), parts))


def in_slices(work: Callable[[Rows], T], rows: Rows) -> list[T]:
    """`work` for as many equal slices of rows as there are threads; few rows are not worth a second one."""
    if len(rows) <= ROWS_FOR_ONE:
        return [work(rows)]
    bounds = [len(rows) * number // THREADS for number in range(THREADS + 1)]
    return list(_POOL.map(lambda first, last: work(rows[first:last]), bounds[:-1], bounds[1:]))
