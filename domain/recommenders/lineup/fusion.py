"""What ranks the candidates of a line-up: trees, a network, a weighted sum of the sources, or one source alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders.compiled import Floats
from domain.recommenders.lineup.candidates import Lineup
from domain.recommenders.lineup.linear import LinearFusion
from domain.recommenders.lineup.queries import Ids, Offsets, Queries
from domain.recommenders.lineup.striking import Struck, first_kept
from domain.recommenders.lineup.workers import in_slices
from domain.recommenders.mlp import Mlp
from domain.recommenders.stored import UnreadableModel
from domain.recommenders.tree_ensemble import TreeEnsemble

FILE: Final = "fusion.json"
TREES: Final = "trees"
MLP: Final = "mlp"
LINEAR: Final = "linear"

Scores = npt.NDArray[np.float64]


class _Stored(msgspec.Struct, frozen=True):
    by: str
    struck: Struck
    linear: LinearFusion | None


@dataclass(frozen=True, slots=True, eq=False)
class Fusion:
    """Chosen on questions that the sources had not seen; `struck` is the rule of its answers."""

    by: str  # TREES, MLP, LINEAR or the name of a source
    struck: Struck
    ensemble: TreeEnsemble | Mlp | None = None
    linear: LinearFusion | None = None

    def answer(self, lineup: Lineup, queries: Queries, k: int) -> Ids:
        """The best `k` items of each query [queries, k], -1 where there are no more."""
        for source in lineup.sources:
            if source.name == self.by:
                ranked = lineup.top(source, queries, k + 1)
                return first_kept(ranked, queries, self.struck, lineup.items_count, k)
        table = lineup.table(queries)
        valid = table.candidates >= 0
        offsets = np.concatenate(([0], np.cumsum(valid.sum(axis=1)))).astype(np.int64)
        ranked = best_of(offsets, table.candidates[valid], self.scores(table.features[valid], table.names), k + 1)
        return first_kept(ranked, queries, self.struck, lineup.items_count, k)

    def scores(self, rows: Floats, names: tuple[str, ...]) -> Scores:
        """[rows] of features [rows, features]: comparable within one query."""
        if self.ensemble is not None:
            return np.concatenate(in_slices(self.ensemble.scores, rows))
        if self.by != LINEAR:
            return rows[:, names.index(f"{self.by}_score")].astype(np.float64)
        if self.linear is None:
            raise ValueError("a linear fusion needs weights")
        return self.linear.scores(rows, names)

    def save(self, folder: Path) -> None:
        """Write `fusion.json`, and what was fitted, into `folder`, which exists."""
        stored = _Stored(self.by, self.struck, self.linear)
        (folder / FILE).write_bytes(msgspec.json.format(msgspec.json.encode(stored)))
        if self.ensemble is not None:
            self.ensemble.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        try:
            stored = msgspec.json.decode((folder / FILE).read_bytes(), type=_Stored)
        except (OSError, msgspec.MsgspecError) as error:
            raise UnreadableModel(folder / FILE, str(error)) from error
        kinds: dict[str, type[TreeEnsemble | Mlp]] = {TREES: TreeEnsemble, MLP: Mlp}
        fitted = kinds[stored.by].load(folder) if stored.by in kinds else None
        return cls(stored.by, stored.struck, fitted, stored.linear)


def best_of(offsets: Offsets, items: Ids, scores: Scores, k: int) -> Ids:
    """The best `k` of the rows of each question; of equal scores the earlier row."""
    counts = np.diff(offsets)
    question = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((-scores, question))
    place = np.arange(len(items)) - offsets[:-1][question]
    kept = place < k
    best = np.full((len(counts), k), -1, np.int32)
    best[question[kept], place[kept]] = items[order][kept]
    return best
