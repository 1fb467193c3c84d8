"""The sessions that Spark wrote, as the arrays that models are built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary

ORDER = [("ended_at_ms", "ascending"), ("visitor_id", "ascending"), ("session", "ascending")]


@dataclass(frozen=True, slots=True, eq=False)
class DatedSessions:
    """Sessions, the newest last, when each began, and whose it is, where that was asked for."""

    log: SessionLog
    started_at_ms: npt.NDArray[np.int64]  # [sessions]
    visitors: npt.NDArray[np.int64] | None = None  # [sessions], numbered from 0 in their order

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary, *, with_visitors: bool = False) -> Self:
        """The sessions of a file, all of whose items are in the vocabulary; alike however Spark ordered them.

        Visitors cost a look at a string for every session.
        """
        table = pq.read_table(path)
        known = pa.array(vocabulary.item_ids, table.schema.field("items").type.value_type)
        cells, lengths = _dense(table["items"], known)
        order = _order(table)
        ends = np.cumsum(lengths)
        offsets = np.concatenate(([0], np.cumsum(lengths[order])))
        moved = np.repeat((ends - lengths)[order] - offsets[:-1], lengths[order])  # [interactions], by how much
        log = SessionLog(offsets, cells[np.arange(len(cells)) + moved], table["ended_at_ms"].to_numpy()[order])
        visitors = _numbered(table["visitor_id"].take(order)) if with_visitors else None
        return cls(log, table["started_at_ms"].to_numpy()[order], visitors)

    def __len__(self) -> int:
        return len(self.log)

    def where(self, wanted: npt.NDArray[np.bool_]) -> DatedSessions:
        """The sessions for which `wanted` [sessions] is true."""
        lengths = np.diff(self.log.offsets)
        offsets = np.concatenate(([0], np.cumsum(lengths[wanted]))).astype(np.int64)
        kept = SessionLog(offsets, self.log.items[np.repeat(wanted, lengths)], self.log.ended_at_ms[wanted])
        visitors = None if self.visitors is None else self.visitors[wanted]
        return DatedSessions(kept, self.started_at_ms[wanted], visitors)


def _dense(items: pa.ChunkedArray, known: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The numbers of all items, and how many each session has."""
    numbers = [pc.index_in(chunk.flatten(), value_set=known) for chunk in items.chunks]
    lengths = pc.list_value_length(items).to_numpy().astype(np.int64)
    return np.concatenate([np.empty(0, np.int32), *numbers]).astype(np.int32), lengths


def _numbered(names: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Names as numbers from 0, in the order in which they first stand there."""
    whole = pa.concat_arrays(names.chunks) if names.num_chunks else pa.array([], names.type)
    numbers: npt.NDArray[np.int64] = whole.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _order(table: pa.Table) -> npt.NDArray[np.int64]:
    """The rows by `ORDER`. Strings are only looked at where instants are alike: few are."""
    ended_at_ms = table["ended_at_ms"].to_numpy()
    order = np.argsort(ended_at_ms, kind="stable")
    is_same = np.diff(ended_at_ms[order]) == 0
    tied = np.concatenate((is_same, [False])) | np.concatenate(([False], is_same))
    among = order[tied[: len(order)]]
    order[tied[: len(order)]] = among[pc.sort_indices(table.select([name for name, _ in ORDER]).take(among), ORDER)]
    return order
