"""Session-kNN: what did the most similar recent sessions go on to? No training; a new session counts at the next build.

VSTAN scoring on a VMIS index, after
- STAN: Garg et al., "Sequence and Time Aware Neighborhood for Session-based Recommendations", SIGIR 2019;
- VSTAN: Ludewig et al., "Empirical Analysis of Session-Based Recommendation Algorithms", UMUAI 31, 2021;
- VMIS-kNN: Kersbergen et al., "Serenade: Low-Latency Session-Based Recommendation in e-Commerce at Scale", SIGMOD 2022.

With p(q) the position of item q from the end of the query (0 = newest; a repeated item counts at its newest place),
S(q) the newest `sessions_per_item_max` sessions with q, df(i) the number of sessions with i, N the number of sessions,
idf(i) = ln((N + 1) / df(i)), |s| the distinct items of s and age(s) its days before the newest session:

    similarity(s) = sum over distinct q with s in S(q) of  exp(-p(q) / query_decay) * idf(q) ^ similarity_idf_exponent
                    * max(exp(-age(s) / recency_decay), 1e-6) / |s| ^ length_exponent                   (STAN eq. 2-4)
    neighbours    = the `neighbours_max` sessions of highest similarity, the newer one on a tie
    m(s)          = the newest query item by which s was found, at its last place in s
    span(d)       = exp(-(d - 1) / span_decay) after the match (d > 0), repeat_weight on it (d = 0),
                    backward_weight * exp(-(-d - 1) / span_decay) before it (d < 0)                      (STAN eq. 5)
    score(i)      = idf(i) ^ score_idf_exponent * sum over neighbours s and places j of i in s of
                    similarity(s) * exp(-p(m(s)) / last_match_decay) * span(j - place of m(s))           (VSTAN)

It departs from session-rec's VSTAN: the query is not normalised (a constant within one ranking); ages count from the
newest session instead of the clock (also a constant, so the index needs no clock); candidate sessions are cut per item
instead of over their union (bounded postings); the match is that of the newest query item instead of the last shared
one; the spans before, on and after it may weigh differently; idf is a power of its own in similarity and in score.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders import session_knn_kernel as kernel
from domain.recommenders.protocol import Ranking, Session, empty_ranking
from domain.recommenders.session_index import SessionIndex
from domain.recommenders.session_knn_policy import SessionKnnPolicy
from domain.recommenders.session_log import SessionLog
from domain.recommenders.stored import UnreadableModel

DAY_MS = 86_400_000
RECENCY_FLOOR = 1e-6
"""Sessions older than about 14 decays are all alike: it keeps scores of old logs above the float32 underflow."""


def _longest(offsets: npt.NDArray[np.int64]) -> int:
    return int(np.diff(offsets).max(initial=0))


def _weights_of(index: SessionIndex, policy: SessionKnnPolicy) -> kernel.Weights:
    positions = np.arange(policy.query_items_max, dtype=np.float64)
    after = np.exp(-np.arange(max(_longest(index.session_offsets) - 1, 0)) / policy.span_decay_positions)
    newest_at_ms = index.ended_at_ms[0] if index.sessions_count else 0
    age_days = (newest_at_ms - index.ended_at_ms) / DAY_MS
    recency = np.maximum(np.exp(-age_days / policy.recency_decay_days), RECENCY_FLOOR)
    idf = np.log((index.sessions_count + 1) / np.maximum(index.sessions_by_item, 1))
    return kernel.Weights(
        query=np.exp(-positions / policy.query_decay_positions),
        last_match=np.exp(-positions / policy.last_match_decay_positions),
        span=np.concatenate((policy.backward_weight * after[::-1], [policy.repeat_weight], after)),
        session=recency / np.maximum(index.distinct_items, 1).astype(np.float64) ** policy.length_exponent,
        item_similarity=idf**policy.similarity_idf_exponent,
        item_score=idf**policy.score_idf_exponent,
    )


class SessionKnn:
    """A `Recommender` over one `SessionIndex`. Thread-safe: each thread has its own working memory.

    Work per call is at most `query_items_max * sessions_per_item_max` postings plus
    `neighbours_max * session_items_max` votes, however long the log; memory per thread is 4 bytes a session,
    44 for each that one query can find, and 16 an item.
    """

    def __init__(self, index: SessionIndex, policy: SessionKnnPolicy) -> None:
        self.index = index
        self.policy = policy
        self.postings = kernel.Postings(
            index.item_offsets, index.item_sessions, index.session_offsets, index.session_items
        )
        self.weights = _weights_of(index, policy)
        self._of_thread = threading.local()

    @classmethod
    def build(cls, log: SessionLog, items_count: int, policy: SessionKnnPolicy | None = None) -> Self:
        """Index a log and wrap it."""
        policy = policy or SessionKnnPolicy()
        return cls(SessionIndex.build(log, items_count, policy), policy)

    def rank(self, session: Session, k: int) -> Ranking:
        """See `Recommender.rank`: at most `k` items with a score above zero; an unknown or empty session gets none."""
        size = min(k, self.index.items_count)
        query = self._query_of(session)
        if size <= 0 or not len(query):
            return empty_ranking()
        items = np.empty(size, np.int32)
        scores = np.empty(size, np.float64)
        count = kernel.rank_items(query, self.postings, self.weights, self.scratch(), items, scores)
        return Ranking(items[:count], scores[:count].astype(np.float32))

    def scores(self, session: Session, items: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
        """The scores of given items, in their order; 0 for an item that no neighbour holds."""
        query = self._query_of(session)
        scores = np.zeros(len(items), np.float64)
        if len(query):
            wanted = np.ascontiguousarray(items, np.int32)
            kernel.score_wanted(query, self.postings, self.weights, self.scratch(), wanted, scores)
        return scores.astype(np.float32)

    def shares(self, session: Session, items: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """What each query item contributed to the scores of distinct known `items`, before their weight by idf.

        [items, query items], the newest query item first. A neighbour's vote is shared out among the query items that
        found it, by their weights in its similarity; a repeated query item has its share at its newest place.
        """
        query = self._query_of(session)
        shares = np.zeros((len(items), len(query)))
        wanted = np.ascontiguousarray(items, np.int32)
        kernel.share_out(query, self.postings, self.weights, self.scratch(), wanted, shares)
        return shares

    def because(self, session: Session, items: npt.NDArray[np.int32]) -> list[int | None]:
        """For each of `items` the session item that contributed most to its score ("because you watched X").

        The explanation is true: leaving that item out, its place kept as a gap, lowers the score, with neighbours and
        matches found again; items for which that does not hold are passed over. None where no removal lowers the score.
        Costs about one `rank`, and one more for each different reason.
        """
        full = self.scores(session, items)
        query = self._query_of(session)
        explained, row_of = np.unique(items[full > 0], return_inverse=True)
        shares = self.shares(session, explained)
        by_share = np.argsort(-shares, axis=1, kind="stable")  # positions from the end; the newer one on a tie
        lowered: dict[int, npt.NDArray[np.bool_]] = {}

        def is_lowered_without(item: int, at: int) -> bool:
            if item not in lowered:
                lowered[item] = self.scores(session.without(item), items) < full
            return bool(lowered[item][at])

        reasons: list[int | None] = [None] * len(items)
        for at, row in zip(np.flatnonzero(full > 0).tolist(), row_of.tolist(), strict=True):
            contributors = (int(query[-1 - position]) for position in by_share[row] if shares[row, position] > 0)
            reasons[at] = next((item for item in contributors if is_lowered_without(item, at)), None)
        return reasons

    def warm(self) -> None:
        """Compile the kernels, or load them from numba's cache, before the first visitor waits for it."""
        session = Session((0,))
        self.rank(session, 1)
        self.scores(session, np.zeros(1, np.int32))
        self.shares(session, np.empty(0, np.int32))

    def save(self, folder: Path) -> None:
        """See `Recommender.save`."""
        self.index.save(folder / "session_index.npz")
        (folder / "session_knn.json").write_bytes(msgspec.json.format(msgspec.json.encode(asdict(self.policy))))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Recommender.load`."""
        path = folder / "session_knn.json"
        try:
            fields = msgspec.json.decode(path.read_bytes(), type=dict[str, int | float])
            policy = SessionKnnPolicy(**fields)  # type: ignore[arg-type]
        except (OSError, msgspec.MsgspecError, ValueError, TypeError) as error:
            raise UnreadableModel(path, str(error)) from error
        return cls(SessionIndex.load(folder / "session_index.npz"), policy)

    def _query_of(self, session: Session) -> npt.NDArray[np.int32]:
        return np.array(session.items[-self.policy.query_items_max :], np.int32)

    def scratch(self) -> kernel.Scratch:
        """The working memory of the calling thread."""
        scratch: kernel.Scratch | None = getattr(self._of_thread, "scratch", None)
        if scratch is None:
            scratch = self._of_thread.scratch = self._new_scratch()
        return scratch

    def _new_scratch(self) -> kernel.Scratch:
        policy, sessions, items = self.policy, self.index.sessions_count, self.index.items_count
        positions = kernel.POSITIONS_MAX
        found = min(sessions, positions * _longest(self.index.item_offsets))
        return kernel.Scratch(
            place=np.full(sessions, kernel.UNSEEN, np.int32),
            found=np.empty(found, np.int32),
            matches=np.empty(found, np.uint64),
            first_match=np.empty(found, np.int32),
            weighed=np.empty(found, np.int32),
            counted=np.empty(found, np.uint64),
            similarity=np.empty(found),
            position=np.empty(found, np.int32),
            neighbours=np.empty(policy.neighbours_max, np.int32),
            heap_scores=np.empty(policy.neighbours_max),
            heap_ids=np.empty(policy.neighbours_max, np.int32),
            strengths=np.zeros(positions),
            state=np.zeros(4, np.int64),
            moved=np.zeros(positions, np.int32),
            item_scores=np.zeros(items),
            touched=np.empty(items, np.int32),
            slot=np.full(items, kernel.UNSEEN, np.int32),
        )
