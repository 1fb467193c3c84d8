"""Item-to-item co-visitation: what stands near the newest items of a session, in the sessions of everybody?

For each pair of interactions (i at place a, j at place b > a) of one session with d = b - a <= `steps_max`:

    forward(i, j)  = backward(j, i) = sum of exp(-(d - 1) / step_decay) * exp(-age(j at b) / recency_decay)
    row(i)         = the `neighbours_max` items of highest forward + backward_weight * backward
    score(j)       = sum over the newest `query_items_max` query items i, at position p from the end, of
                     exp(-p / query_decay) * row(i)[j] / (sum of row(i)) ^ normalisation_exponent

Sequential rules are the case of one query item and no backward weight. The newest interaction has age 0.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders import covisitation_kernel as kernel
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.session_log import SessionLog
from domain.recommenders.stored import Arrays, UnreadableModel, read_arrays, write_arrays

KIND = "covisitation"
FORMAT = 1
DAY_MS = 86_400_000
RECENCY_FLOOR = 1e-6
ENTRIES_AT_ONCE = 20_000_000
"""Rows are built in blocks of items of at most so many entries: it bounds the working memory to 0.5 GB."""

Rows = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class CovisitationPolicy:
    """How pairs are weighed. The first four shape the rows; the others may change without building them again."""

    steps_max: int = 10
    step_decay: float = 1.5
    recency_decay_days: float = 80.0
    neighbours_max: int = 200
    backward_weight: float = 0.4
    query_items_max: int = 10
    query_decay_positions: float = 1.0
    normalisation_exponent: float = 0.5

    def __post_init__(self) -> None:
        positive = (self.steps_max, self.step_decay, self.recency_decay_days, self.neighbours_max)
        if not min(*positive, self.query_items_max, self.query_decay_positions) > 0:
            raise ValueError(f"steps, neighbours, query items and decays must be above 0 in {self}")
        if not min(self.backward_weight, self.normalisation_exponent) >= 0:
            raise ValueError(f"neither the backward weight nor the exponent may be negative in {self}")


class Covisitation:
    """A `Recommender` over rows of neighbours. Thread-safe: each thread has its own working memory."""

    def __init__(self, rows: Rows, policy: CovisitationPolicy) -> None:
        self.rows = rows
        self.policy = policy
        offsets, _, weights = rows
        entry = weights[:, kernel.FORWARD] + policy.backward_weight * weights[:, kernel.BACKWARD]
        sums = np.concatenate(([0.0], np.cumsum(entry, dtype=np.float64)))
        totals = np.maximum(sums[offsets[1:]] - sums[offsets[:-1]], 1e-9)  # [items]
        self.blend = (policy.backward_weight, totals**-policy.normalisation_exponent)
        self.position_weights = np.exp(-np.arange(policy.query_items_max) / policy.query_decay_positions)
        self._of_thread = threading.local()

    @classmethod
    def build(
        cls,
        log: SessionLog,
        items_count: int,
        policy: CovisitationPolicy | None = None,
        at_ms: npt.NDArray[np.int64] | None = None,
        threads: int = 1,
    ) -> Self:
        """Build the rows of a log; `at_ms` [interactions] ages pairs one by one, else a session has one age."""
        policy = policy or CovisitationPolicy()
        at_ms = np.repeat(log.ended_at_ms, np.diff(log.offsets)) if at_ms is None else at_ms
        age_days = (at_ms.max(initial=0) - at_ms) / DAY_MS
        recency = np.maximum(np.exp(-age_days / policy.recency_decay_days), RECENCY_FLOOR)
        return cls(_rows_of(log, items_count, policy, recency, threads), policy)

    @property
    def items_count(self) -> int:
        """Size of the vocabulary it was built for."""
        return len(self.rows[0]) - 1

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`."""
        size = min(k, self.items_count)
        if size <= 0 or not session.items:
            return empty_ranking()
        items = np.empty(size, np.int32)
        scores = np.empty(size, np.float64)
        query = np.array(session.items[-self.policy.query_items_max :], np.int32)
        count = kernel.rank_items(query, self.pairs(), items, scores)
        return Ranking(items[:count], scores[:count].astype(np.float32))

    def pairs(self) -> kernel.Pairs:
        """What the kernels read, with the working memory of the calling thread."""
        pairs: kernel.Pairs | None = getattr(self._of_thread, "pairs", None)
        if pairs is None:
            memory = (np.zeros(self.items_count), np.empty(self.items_count, np.int32))
            pairs = kernel.Pairs(self.position_weights, *self.rows, *self.blend, *memory)
            self._of_thread.pairs = pairs
        return pairs

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        offsets, neighbours, weights = self.rows
        arrays: Arrays = {"offsets": offsets, "neighbours": neighbours, "weights": weights}
        write_arrays(folder / "covisitation.npz", KIND, FORMAT, arrays)
        (folder / "covisitation.json").write_bytes(msgspec.json.encode(asdict(self.policy)))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        path = folder / "covisitation.json"
        try:
            fields = msgspec.json.decode(path.read_bytes(), type=dict[str, int | float])
            policy = CovisitationPolicy(**fields)  # type: ignore[arg-type]
        except (OSError, msgspec.MsgspecError, ValueError, TypeError) as error:
            raise UnreadableModel(path, str(error)) from error
        names = ["offsets", "neighbours", "weights"]
        arrays = read_arrays(folder / "covisitation.npz", KIND, FORMAT, names)
        return cls((arrays["offsets"], arrays["neighbours"], arrays["weights"]), policy)


def _rows_of(
    log: SessionLog, items_count: int, policy: CovisitationPolicy, recency: npt.NDArray[np.float64], threads: int
) -> Rows:
    places = np.argsort(log.items, kind="stable")
    item_offsets = np.concatenate(([0], np.cumsum(np.bincount(log.items, minlength=items_count)))).astype(np.int64)
    session_of = np.repeat(np.arange(len(log), dtype=np.int32), np.diff(log.offsets))
    step_weights = np.exp(-np.arange(policy.steps_max) / policy.step_decay)
    entries = np.minimum(np.diff(item_offsets) * 2 * policy.steps_max, policy.neighbours_max)  # [items], at most
    ends = np.cumsum(entries)

    def block(first: int, last: int) -> Rows:
        size = int(ends[last - 1] - (ends[first - 1] if first else 0))
        rows = (np.empty(last - first, np.int64), np.empty(size, np.int32), np.empty((size, 3), np.float32))
        written = kernel.fill_rows(
            first,
            last,
            (item_offsets, places),
            (log.items, session_of, log.offsets),
            recency,
            step_weights,
            policy.backward_weight,
            np.zeros((items_count, 3)),
            np.empty(items_count, np.int32),
            (np.empty(policy.neighbours_max), np.empty(policy.neighbours_max, np.int32)),
            rows,
        )
        return rows[0], rows[1][:written].copy(), rows[2][:written].copy()

    cuts = _cuts(ends, threads)
    with ThreadPoolExecutor(threads) as pool:
        blocks = list(pool.map(block, cuts[:-1], cuts[1:]))
    starts = np.cumsum([0, *(len(each[1]) for each in blocks)])
    return (
        np.concatenate([[0], *(each[0] + start for each, start in zip(blocks, starts, strict=False))]).astype(np.int64),
        np.concatenate([np.empty(0, np.int32), *(each[1] for each in blocks)]),
        np.concatenate([np.empty((0, 3), np.float32), *(each[2] for each in blocks)]),
    )


def _cuts(ends: npt.NDArray[np.int64], threads: int) -> list[int]:
    """First items of blocks of about equal size, small enough and at least one for each thread."""
    items_count = len(ends)
    if not items_count:
        return [0]
    blocks = max(2 * threads, int(np.ceil(ends[-1] / ENTRIES_AT_ONCE * threads)))
    inner = np.searchsorted(ends, np.arange(1, blocks) * ends[-1] / blocks)
    return sorted({0, *(int(cut) for cut in inner if 0 < cut < items_count), items_count})
