"""Sources of candidates for batches of queries: what each would answer, and how it judges the candidates of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from domain.recommenders import covisitation_kernel
from domain.recommenders.covisitation import Covisitation
from domain.recommenders.fusion_candidates import write_shares
from domain.recommenders.fusion_neighbours import BY_CANDIDATE, BY_QUERY, freshness, rank_all, read_neighbours
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.workers import in_parts
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.protocol import Recommender, Session
from domain.recommenders.session_knn import SessionKnn

Features = npt.NDArray[np.float32]

SCORED_TOGETHER: Final = 256
NEURAL: Final = {"gru": "gru4rec", "sasrec": "sasrec", "bert4rec": "bert4rec"}
"""The names of the sources by their encoder."""
COVISITED: Final = ("score", "forward", "backward", "next", "before", "next_of_all", "highest")
COVISITED_LOGS: Final = (1, 2, 3)


class Source(Protocol):
    """One model, with what it says of a candidate: `features` are named after it, the first is what it ranks by."""

    name: str
    features: tuple[str, ...]

    def top(self, queries: Queries, k: int) -> Ids:
        """The best items [queries, at most k], -1 where there are no more."""
        ...

    def describe(self, queries: Queries, candidates: Ids, rows: Features) -> None:
        """Write its features of distinct `candidates` [queries, n] into `rows` [queries, n, features].

        Of an entry of -1 anything.
        """
        ...


class KnnSource:
    """Session-kNN, with several readings of its neighbours."""

    def __init__(self, knn: SessionKnn, name: str = "vstan") -> None:
        self.name = name
        self.knn = knn
        self.features = (f"{name}_score", *_shares(name, BY_CANDIDATE), *(f"{name}_{fact}" for fact in BY_QUERY))
        self._fresh = freshness(knn)

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        return np.concatenate(in_parts(lambda part, _: rank_all(self.knn, part.offsets, part.items, k), queries))

    def describe(self, queries: Queries, candidates: Ids, rows: Features) -> None:
        """See `Source.describe`: each reading as a share of its mass and of its highest, and the mass itself."""

        def describe(part: Queries, at: slice) -> None:
            found, of_query = read_neighbours(self.knn, self._fresh, part.offsets, part.items, candidates[at])
            rows[at, :, 0] = found[:, :, 0]
            write_shares(found, rows[at], 1)
            rows[at, :, 1 + 2 * len(BY_CANDIDATE) :] = np.log1p(of_query)[:, None, :]

        in_parts(describe, queries)


class CovisitationSource:
    """Item-to-item rows."""

    def __init__(self, model: Covisitation, name: str = "covisitation") -> None:
        self.name = name
        self.model = model
        logs = (f"{name}_{COVISITED[at]}_log" for at in COVISITED_LOGS)
        self.features = (f"{name}_score", *_shares(name, COVISITED), *logs)

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        return np.concatenate(in_parts(lambda part, _: self._rank(part, k), queries))

    def describe(self, queries: Queries, candidates: Ids, rows: Features) -> None:
        """See `Source.describe`."""

        def describe(part: Queries, at: slice) -> None:
            found = self._weigh(part, candidates[at])
            rows[at, :, 0] = found[:, :, 0]
            write_shares(found, rows[at], 1)
            first, last = COVISITED_LOGS[0], COVISITED_LOGS[-1]
            rows[at, :, 1 + 2 * len(COVISITED) :] = np.log1p(found[:, :, first : last + 1])

        in_parts(describe, queries)

    def _weigh(self, queries: Queries, candidates: Ids) -> Features:
        model = self.model
        found = np.zeros((*candidates.shape, len(COVISITED)), np.float32)
        slot = np.full(model.items_count, -1, np.int32)
        covisitation_kernel.weigh_candidates(
            queries.offsets, queries.items, model.position_weights, model.rows, model.blend, slot, candidates, found
        )
        return found

    def _rank(self, queries: Queries, k: int) -> Ids:
        model = self.model
        items = np.full((len(queries), min(k, model.items_count)), -1, np.int32)
        scores = np.empty(items.shape)
        covisitation_kernel.rank_queries(
            queries.offsets,
            queries.items,
            model.position_weights,
            model.rows,
            model.blend,
            model.scratch(),
            items,
            scores,
        )
        return items


class NeuralSource:
    """A neural session model: logits, and their softmax over the candidates."""

    def __init__(self, model: NeuralSessionModel) -> None:
        self.name = NEURAL[model.shape.kind]
        self.features = tuple(f"{self.name}_{said}" for said in ("score", "to_highest", "softmax", "near", "spread"))
        self.model = model

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        encoded = self._encoded(queries)
        best = self.model.rank_many(encoded, k)[0]
        best[~encoded.any(axis=1)] = -1
        return best

    def describe(self, queries: Queries, candidates: Ids, rows: Features) -> None:
        """See `Source.describe`: the logit, its distance to the highest, its softmax, and two that explain it.

        These are how near the candidate is to the newest item, and how the mass is spread over the candidates.
        """
        model = self.model
        encoded = self._encoded(queries)
        items = np.maximum(candidates, 0)
        newest = model.vectors[np.maximum(queries.current, 0)] * (queries.current >= 0)[:, None]
        logits = np.empty(candidates.shape, np.float32)
        for first in range(0, len(items), SCORED_TOGETHER):
            some = slice(first, first + SCORED_TOGETHER)
            vectors = model.vectors[items[some]]  # [some, candidates, width]
            logits[some] = np.matmul(vectors, encoded[some][:, :, None])[:, :, 0] + model.biases[items[some]]
            rows[some, :, 3] = np.matmul(vectors, newest[some][:, :, None])[:, :, 0]
        known = np.where(candidates >= 0, logits, -np.inf)
        highest = np.maximum(known.max(axis=1, keepdims=True, initial=-1e4), -1e4)
        mass = np.log(np.maximum(np.exp(np.minimum(known - highest, 0)).sum(axis=1), 1e-9))
        rows[:, :, 0] = np.maximum(logits, -1e4)
        rows[:, :, 1] = np.maximum(logits - highest, -1e4)
        rows[:, :, 2] = np.exp(np.minimum(logits - highest - mass[:, None], 0))
        rows[:, :, 4] = mass[:, None]

    def _encoded(self, queries: Queries) -> Features:
        return queries.noted(self.name, lambda: self.model.encode(queries.offsets, queries.items))


class PlainSource:
    """Any `Recommender`, asked query by query: for the baselines, which only answer and judge nothing."""

    def __init__(self, model: Recommender, name: str) -> None:
        self.name = name
        self.features: tuple[str, ...] = ()
        self.model = model

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        best = np.full((len(queries), k), -1, np.int32)
        for number in range(len(queries)):
            known = queries.items[queries.offsets[number] : queries.offsets[number + 1]]
            ranked = self.model.rank(Session(tuple(known.tolist())), k).items
            best[number, : len(ranked)] = ranked
        return best

    def describe(self, queries: Queries, candidates: Ids, rows: Features) -> None:
        """See `Source.describe`: nothing."""


def _shares(name: str, readings: Sequence[str]) -> Iterator[str]:
    """The columns that `write_shares` writes."""
    for reading in readings:
        yield f"{name}_{reading}_share"
        yield f"{name}_{reading}_of_highest"
