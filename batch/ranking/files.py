"""The files of `rank-sessions`: a training log and questions in, ranked answers out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.ranking.history import History
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.striking import PREFIX_MAX
from schemas.errors import ContractError

SECONDS_BELOW = 10**11
"""A number below this is seconds since 1970, above it milliseconds (1973 in ms, the year 5138 in s)."""


class UnusableFile(ContractError):
    """A file of `rank-sessions` cannot be read, misses a column, or is empty."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}; {remedy}")


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What TRAIN holds: the history, and the item id of each dense id."""

    history: History
    item_ids: npt.NDArray[np.int64]  # [items], sorted


def read_training(path: Path) -> Training:
    """Read TRAIN; raises `UnusableFile`. Rows without a session or item do not count.

    Timestamps count when every row has one; else the order of the file is the order of events.
    """
    table = _table(path, ["user_or_session_id", "item_id"], ["timestamp"])
    table = table.filter(pc.and_(pc.is_valid(table["user_or_session_id"]), pc.is_valid(table["item_id"])))
    if not table.num_rows:
        raise UnusableFile(path, "it has no interactions", "give a log with at least one row")
    session_ids = table["user_or_session_id"].combine_chunks().dictionary_encode()
    sessions = session_ids.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    item_ids, items = np.unique(_integers(path, "item_id", table["item_id"]), return_inverse=True)
    at_ms = _instants(table)
    is_dated = at_ms is not None
    if at_ms is None:
        at_ms = np.arange(table.num_rows, dtype=np.int64) * 1000
    history = History.of(sessions, items.astype(np.int32), at_ms, len(item_ids), is_dated)
    return Training(history, item_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What QUERIES holds."""

    query_ids: pa.Array
    queries: Queries


def read_queries(path: Path, item_ids: npt.NDArray[np.int64]) -> Asked:
    """Read QUERIES: `query_id` and `prefix`, nothing else. Raises `UnusableFile`. Unknown items are dropped."""
    table = _table(path, ["query_id", "prefix"], [])
    if not table.num_rows:
        raise UnusableFile(path, "it has no questions", "give at least one row")
    prefixes = table["prefix"].combine_chunks()
    if not (pa.types.is_list(prefixes.type) or pa.types.is_large_list(prefixes.type)):
        raise UnusableFile(path, f"prefix is {prefixes.type}", "write it as a list of item ids, oldest first")
    lengths = pc.fill_null(pc.list_value_length(prefixes), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    values = prefixes.flatten()
    known = pc.is_valid(values).to_numpy(zero_copy_only=False)
    numbers = _integers(path, "prefix", values.fill_null(0)) if len(values) else np.empty(0, np.int64)
    return Asked(table["query_id"].combine_chunks(), _queries_of(lengths, numbers, known, item_ids))


def write_answers(
    path: Path, asked: Asked, answers: npt.NDArray[np.int64], valid: npt.NDArray[np.bool_], us: float
) -> None:
    """Write `query_id, rank, item_id, latency_us`; `us` is the mean time of a query of the batch, in microseconds."""
    rows, places = np.nonzero(valid)
    rank = (np.cumsum(valid, axis=1)[rows, places]).astype(np.int32)
    table = pa.table(
        {
            "query_id": asked.query_ids.take(pa.array(rows)),
            "rank": rank,
            "item_id": answers[rows, places],
            "latency_us": np.full(len(rows), us),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f"{path.name}.waiting")
    pq.write_table(table, waiting, compression="zstd")
    waiting.replace(path)


def _queries_of(
    lengths: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int64],
    is_given: npt.NDArray[np.bool_],
    item_ids: npt.NDArray[np.int64],
) -> Queries:
    places = np.minimum(np.searchsorted(item_ids, numbers), len(item_ids) - 1)
    known = is_given & (item_ids[places] == numbers)
    ends = np.cumsum(lengths)
    current = np.full(len(lengths), -1, np.int32)
    asked = np.flatnonzero(lengths)
    newest = ends[asked] - 1
    current[asked] = np.where(known[newest], places[newest], -1)
    from_end = np.repeat(ends, lengths) - np.arange(len(numbers))  # 1 = the newest
    kept = known & (from_end <= PREFIX_MAX)
    kept_before = np.concatenate(([0], np.cumsum(kept)))
    offsets = kept_before[np.concatenate(([0], ends))].astype(np.int64)
    return Queries(offsets, places[kept].astype(np.int32), current)


def _table(path: Path, needed: list[str], wanted: list[str]) -> pa.Table:
    try:
        names = pq.read_schema(path).names
        missing = [name for name in needed if name not in names]
        if missing:
            found = ", ".join(names)
            raise UnusableFile(path, f"there is no column {', '.join(missing)}", f"it has {found}: rename or add it")
        return pq.read_table(path, columns=needed + [name for name in wanted if name in names])
    except (OSError, pa.ArrowException) as error:
        raise UnusableFile(path, f"it cannot be read: {error}", "give a Parquet file") from error


def _integers(path: Path, name: str, column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
    try:
        numbers: npt.NDArray[np.int64] = (
            column.cast(pa.int64()).to_numpy(zero_copy_only=False)
            if isinstance(column, pa.Array)
            else column.cast(pa.int64()).combine_chunks().to_numpy(zero_copy_only=False)
        )
    except pa.ArrowException as error:
        raise UnusableFile(path, f"{name} holds other than integers ({error})", "number the items") from error
    return numbers


def _instants(table: pa.Table) -> npt.NDArray[np.int64] | None:
    """Milliseconds, or None unless every row has a timestamp."""
    if "timestamp" not in table.column_names:
        return None
    column = table["timestamp"].combine_chunks()
    is_instant = pa.types.is_timestamp(column.type)
    if is_instant:
        column = column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64())
    try:
        numbers = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        return None
    if not np.isfinite(numbers).all():
        return None
    factor = 1000.0 if not is_instant and np.median(numbers) < SECONDS_BELOW else 1.0
    at_ms: npt.NDArray[np.int64] = np.rint(numbers * factor).astype(np.int64)
    return at_ms


def answers_of(ranked: Ids, item_ids: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Item ids of dense ids, and which of them are answers at all (a dense id below 0 is none)."""
    return item_ids[np.maximum(ranked, 0)], ranked >= 0
