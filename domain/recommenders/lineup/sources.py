"""Sources of candidates for batches of queries: what each would answer, and how it judges the candidates of others."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from domain.recommenders import covisitation_kernel
from domain.recommenders.covisitation import Covisitation
from domain.recommenders.fusion_neighbours import BY_CANDIDATE, BY_QUERY, freshness, rank_all, read_neighbours
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.workers import in_parts
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.protocol import Recommender, Session
from domain.recommenders.session_knn import SessionKnn

Features = npt.NDArray[np.float32]
Columns = dict[str, Features]

SCORED_TOGETHER: Final = 256
NEURAL: Final = {"gru": "gru4rec", "sasrec": "sasrec", "bert4rec": "bert4rec"}
"""The names of the sources by their encoder."""
COVISITED: Final = ("score", "forward", "backward", "next", "before", "next_of_all", "highest")


class Source(Protocol):
    """One model. `columns` [queries, candidates] are named after it; `<name>_score` is what it ranks by."""

    name: str

    def top(self, queries: Queries, k: int) -> Ids:
        """The best items [queries, at most k], -1 where there are no more."""
        ...

    def columns(self, queries: Queries, candidates: Ids) -> Columns:
        """What it says of distinct `candidates` [queries, n]; of an entry of -1 anything."""
        ...


class KnnSource:
    """Session-kNN, with several readings of its neighbours."""

    def __init__(self, knn: SessionKnn, name: str = "vstan") -> None:
        self.name = name
        self.knn = knn
        self._fresh = freshness(knn)

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        return np.concatenate(in_parts(lambda part, _: rank_all(self.knn, part.offsets, part.items, k), queries))

    def columns(self, queries: Queries, candidates: Ids) -> Columns:
        """See `Source.columns`: each reading as a share of its mass and of its highest, and the mass itself."""
        read = in_parts(
            lambda part, at: read_neighbours(self.knn, self._fresh, part.offsets, part.items, candidates[at]), queries
        )
        found, of_query = (np.concatenate(each) for each in zip(*read, strict=True))
        columns: Columns = {f"{self.name}_score": found[:, :, 0]}
        for at, reading in enumerate(BY_CANDIDATE):
            columns |= shares(f"{self.name}_{reading}", found[:, :, at])
        for at, fact in enumerate(BY_QUERY):
            columns[f"{self.name}_{fact}"] = _spread(np.log1p(of_query[:, at]), candidates)
        return columns


class CovisitationSource:
    """Item-to-item rows."""

    def __init__(self, model: Covisitation, name: str = "covisitation") -> None:
        self.name = name
        self.model = model

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        return np.concatenate(in_parts(lambda part, _: self._rank(part, k), queries))

    def columns(self, queries: Queries, candidates: Ids) -> Columns:
        """See `Source.columns`."""
        found = np.concatenate(in_parts(lambda part, at: self._weigh(part, candidates[at]), queries))
        columns: Columns = {f"{self.name}_score": found[:, :, 0]}
        for at, reading in enumerate(COVISITED):
            columns |= shares(f"{self.name}_{reading}", found[:, :, at])
        for at in (1, 2, 3):
            columns[f"{self.name}_{COVISITED[at]}_log"] = np.log1p(found[:, :, at])
        return columns

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
        self.model = model

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        encoded = self._encoded(queries)
        best = self.model.rank_many(encoded, k)[0]
        best[~encoded.any(axis=1)] = -1
        return best

    def columns(self, queries: Queries, candidates: Ids) -> Columns:
        """See `Source.columns`."""
        model, name = self.model, self.name
        encoded = self._encoded(queries)
        items = np.maximum(candidates, 0)
        newest = model.vectors[np.maximum(queries.current, 0)] * (queries.current >= 0)[:, None]
        logits = np.empty(candidates.shape, np.float32)
        near = np.empty(candidates.shape, np.float32)
        for first in range(0, len(items), SCORED_TOGETHER):
            some = slice(first, first + SCORED_TOGETHER)
            vectors = model.vectors[items[some]]  # [some, candidates, width]
            logits[some] = np.matmul(vectors, encoded[some][:, :, None])[:, :, 0] + model.biases[items[some]]
            near[some] = np.matmul(vectors, newest[some][:, :, None])[:, :, 0]
        known = np.where(candidates >= 0, logits, -np.inf)
        highest = np.maximum(known.max(axis=1, keepdims=True, initial=-1e4), -1e4)
        mass = np.log(np.maximum(np.exp(np.minimum(known - highest, 0)).sum(axis=1), 1e-9))
        return {
            f"{name}_score": np.maximum(logits, -1e4),
            f"{name}_to_highest": np.maximum(logits - highest, -1e4),
            f"{name}_softmax": np.exp(np.minimum(logits - highest - mass[:, None], 0)),
            f"{name}_near": near,
            f"{name}_spread": _spread(mass.astype(np.float32), candidates),
        }

    def _encoded(self, queries: Queries) -> Features:
        return queries.noted(self.name, lambda: self.model.encode(queries.offsets, queries.items))


class PlainSource:
    """Any `Recommender`, asked query by query: for the baselines, which only answer and judge nothing."""

    def __init__(self, model: Recommender, name: str) -> None:
        self.name = name
        self.model = model

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        best = np.full((len(queries), k), -1, np.int32)
        for number in range(len(queries)):
            known = queries.items[queries.offsets[number] : queries.offsets[number + 1]]
            ranked = self.model.rank(Session(tuple(known.tolist())), k).items
            best[number, : len(ranked)] = ranked
        return best

    def columns(self, queries: Queries, candidates: Ids) -> Columns:
        """See `Source.columns`: none."""
        del queries, candidates
        return {}


def shares(name: str, values: Features) -> Columns:
    """[queries, candidates] as shares of the row's sum and of its highest value; 0 in a row of zeros."""
    mass = np.maximum(values.sum(axis=1, keepdims=True), 1e-12)
    highest = np.maximum(values.max(axis=1, keepdims=True, initial=0.0), 1e-12)
    return {f"{name}_share": values / mass, f"{name}_of_highest": values / highest}


def _spread(of_query: Features, candidates: Ids) -> Features:
    return np.broadcast_to(of_query[:, None].astype(np.float32), candidates.shape)
