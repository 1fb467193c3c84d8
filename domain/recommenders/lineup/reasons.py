"""Which item of a session an answer is owed to: suspected by the votes it brought, convicted by leaving it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from domain.recommenders.compiled import Floats, Ids, Reals
from domain.recommenders.lineup import kernel
from domain.recommenders.lineup.memory import encoded_of
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.session_knn_kernel import NOTHING, POSITIONS_MAX

CAUSES_MAX: Final = 8
"""Of a long session only its newest items are tried as the reason of an answer."""
TOGETHER: Final = 2
"""So many are tried at once: those that brought most to most items, each with the items that it brought most to."""
ROUNDS_MAX: Final = 2
"""What is not lower then is left without a reason: each trial costs as much as a ranking."""
FALL_LEAST: Final = 1e-6
"""Of a score: less is no fall but rounding, as when trees put an item into the same leaves again."""

Flags = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]
ScoresWithout = Callable[[Ids, Places], Reals]


class Trial:
    """The causes of some items, for one session."""

    def __init__(self, parts: kernel.Parts, query: Ids, search: int, items: Ids) -> None:
        self._parts = parts
        self._query = query
        self._search = search
        self._items = np.ascontiguousarray(items, np.int32)

    def convict(self, full: Reals, scores_without: ScoresWithout) -> list[int | None]:
        """For each item a cause without which its score falls from `full` [items] by `FALL_LEAST`, None without one.

        `scores_without` is given causes and, for each item, the place of the one to leave out; it returns scores.
        """
        undecided, fallen = full > 0, full * (1 - FALL_LEAST)
        cited = np.full(len(full), NOTHING, np.int32)
        for causes, which in self._rounds(undecided):
            lower = undecided & (scores_without(causes, which) < fallen)
            cited[lower] = causes[which[lower]]
            undecided &= ~lower
        return [None if cause == NOTHING else cause for cause in cited.tolist()]

    def rows_without(
        self, left_out: Ids, candidates: Ids, features_count: int, neural: NeuralSessionModel | None
    ) -> Floats:
        """The features of candidates without each of some items [left out, candidates, features]."""
        rows = np.empty((len(left_out), len(candidates), features_count), np.float32)
        kernel.judge_without(
            self._query,
            self._search,
            left_out,
            encoded_of(neural, self._query, left_out),
            candidates,
            self._parts,
            rows,
        )
        return rows

    def votes_without(self, left_out: Ids) -> Reals:
        """The scores by the session-kNN alone without each of some items [left out, items]."""
        scores = np.empty((len(left_out), len(self._items)))
        kernel.votes_without(self._query, self._search, left_out, self._items, self._parts.near, scores)
        return scores

    def warm(self, features_count: int, neural: NeuralSessionModel | None) -> None:
        """Compile or load what a trial may call, whether there is something to try or not."""
        self.rows_without(self._items, self._items, features_count, neural)
        self._brought(self._items)
        self.votes_without(self._items)

    def _rounds(self, undecided: Flags) -> Iterator[tuple[Ids, Places]]:
        """Causes to try, and for each item the place of the one that it is to be tried with.

        `undecided` [items] is looked at before each round.
        """
        causes = np.array(list(dict.fromkeys(self._query[::-1].tolist()))[:CAUSES_MAX], np.int32)
        brought = self._brought(causes)  # [causes, items], below 0 once it was tried
        for _ in range(ROUNDS_MAX):
            suspects = np.bincount(brought.argmax(axis=0)[undecided], minlength=len(causes))
            tried = np.argsort(-suspects, kind="stable")[:TOGETHER]
            tried = tried[suspects[tried] > 0]
            if not len(tried):
                return
            which = brought[tried].argmax(axis=0)
            yield causes[tried], which
            brought[tried[which], np.arange(len(which))] = -1.0

    def _brought(self, causes: Ids) -> npt.NDArray[np.float64]:
        shares = np.zeros((len(self._items), POSITIONS_MAX))
        kernel.evidence(self._query, self._search, self._items, self._parts, shares)
        newest_first = self._query[::-1][:POSITIONS_MAX]
        return np.stack([shares[:, : len(newest_first)][:, newest_first == cause].sum(axis=1) for cause in causes])
