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
    """Sessions, the newest last, and when each began."""

    log: SessionLog
    started_at_ms: npt.NDArray[np.int64]  # [sessions]

    @classmethod
    def read(cls, path: Path, vocabulary: Vocabulary) -> Self:
        """The sessions of a file, all of whose items are in the vocabulary; alike however Spark ordered them."""
        table = pq.read_table(path)
        table = table.take(pc.sort_indices(table, sort_keys=ORDER)).combine_chunks()
        items = table["items"].combine_chunks()
        known = pa.array(vocabulary.item_ids, items.type.value_type)
        dense = pc.index_in(items.flatten(), value_set=known).to_numpy(zero_copy_only=False)
        offsets = np.concatenate(([0], np.cumsum(pc.list_value_length(items).to_numpy(zero_copy_only=False))))
        log = SessionLog(offsets.astype(np.int64), dense.astype(np.int32), table["ended_at_ms"].to_numpy())
        return cls(log, table["started_at_ms"].to_numpy())

    def __len__(self) -> int:
        return len(self.log)

    def where(self, wanted: npt.NDArray[np.bool_]) -> DatedSessions:
        """The sessions for which `wanted` [sessions] is true."""
        lengths = np.diff(self.log.offsets)
        offsets = np.concatenate(([0], np.cumsum(lengths[wanted]))).astype(np.int64)
        kept = SessionLog(offsets, self.log.items[np.repeat(wanted, lengths)], self.log.ended_at_ms[wanted])
        return DatedSessions(kept, self.started_at_ms[wanted])
