"""The sessions that Spark wrote, as the arrays that models are built from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.facts import MICROS
from domain.recommenders.lineup.queries import gather
from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary
from schemas.events import KINDS

ORDER = [("ended_at_ms", "ascending"), ("visitor_id", "ascending"), ("session", "ascending")]


@dataclass(frozen=True, slots=True, eq=False)
class Acts:
    """What was done at each place of the sessions: of an item that is repeated at once, all that was done with it."""

    offsets: npt.NDArray[np.int64]  # [interactions + 1]
    kinds: npt.NDArray[np.int8]  # [acts], numbers of `KINDS`
    values: npt.NDArray[np.float64]  # [acts], as events say them: 0 for none

    def part(self, places: npt.NDArray[np.int64]) -> Acts:
        """Those of some places, in this order."""
        offsets, acts = gather(self.offsets, places)
        return Acts(offsets, self.kinds[acts], self.values[acts])


@dataclass(frozen=True, slots=True, eq=False)
class DatedSessions:
    """Sessions, the newest last, when each began, and whose it is and what was done in it, where that was asked for."""

    log: SessionLog
    started_at_ms: npt.NDArray[np.int64]  # [sessions]
    visitors: npt.NDArray[np.int64] | None = None  # [sessions], numbered from 0 in their order
    acts: Acts | None = None

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary, *, with_visitors: bool = False, with_acts: bool = False) -> Self:
        """The sessions of a file, all of whose items are in the vocabulary; alike however Spark ordered them.

        Visitors cost a look at a string for every session, acts at one for every interaction; files of before acts
        were written have none.
        """
        table = pq.read_table(path)
        known = pa.array(vocabulary.item_ids, table.schema.field("items").type.value_type)
        cells, lengths = _dense(table["items"], known)
        order = _order(table)
        ends = np.cumsum(lengths)
        offsets = np.concatenate(([0], np.cumsum(lengths[order])))
        moved = np.repeat((ends - lengths)[order] - offsets[:-1], lengths[order])  # [interactions], by how much
        places = np.arange(len(cells)) + moved
        log = SessionLog(offsets, cells[places], table["ended_at_ms"].to_numpy()[order])
        visitors = _numbered(table["visitor_id"].take(order)) if with_visitors else None
        acts = _acts(table).part(places) if with_acts and "moves" in table.column_names else None
        return cls(log, table["started_at_ms"].to_numpy()[order], visitors, acts)

    def __len__(self) -> int:
        return len(self.log)

    def where(self, wanted: npt.NDArray[np.bool_]) -> DatedSessions:
        """The sessions for which `wanted` [sessions] is true."""
        lengths = np.diff(self.log.offsets)
        offsets = np.concatenate(([0], np.cumsum(lengths[wanted]))).astype(np.int64)
        places = np.flatnonzero(np.repeat(wanted, lengths))
        kept = SessionLog(offsets, self.log.items[places], self.log.ended_at_ms[wanted])
        visitors = None if self.visitors is None else self.visitors[wanted]
        acts = None if self.acts is None else self.acts.part(places)
        return DatedSessions(kept, self.started_at_ms[wanted], visitors, acts)


def _dense(items: pa.ChunkedArray, known: pa.Array) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """The numbers of all items, and how many each session has."""
    numbers = [pc.index_in(chunk.flatten(), value_set=known) for chunk in items.chunks]
    lengths = pc.list_value_length(items).to_numpy().astype(np.int64)
    return np.concatenate([np.empty(0, np.int32), *numbers]).astype(np.int32), lengths


def _acts(table: pa.Table) -> Acts:
    """Of every place in the order of the file."""
    begins = np.flatnonzero(_flat(table["moves"], pa.bool_()))
    numbers = pc.index_in(_flat_column(table["kinds"], pa.string()), value_set=pa.array(KINDS))
    values = _flat(table["values_micros"], pa.int64()) / MICROS
    offsets = np.concatenate((begins, [len(values)])).astype(np.int64)
    return Acts(offsets, numbers.to_numpy(zero_copy_only=False).astype(np.int8), values)


def _flat(lists: pa.ChunkedArray, of: pa.DataType) -> npt.NDArray[Any]:
    flat: npt.NDArray[Any] = _flat_column(lists, of).to_numpy(zero_copy_only=False)
    return flat


def _flat_column(lists: pa.ChunkedArray, of: pa.DataType) -> pa.Array:
    return pa.concat_arrays([pa.array([], of), *(chunk.flatten().cast(of) for chunk in lists.chunks)])


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
