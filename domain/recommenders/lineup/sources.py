"""Sources of candidates for batches of queries: what each would answer, and how it judges the candidates of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np

from domain.recommenders import covisitation_kernel, fusion_neighbours, neural_kernel
from domain.recommenders.compiled import Floats
from domain.recommenders.covisitation import Covisitation
from domain.recommenders.fusion_neighbours import (
    BY_CANDIDATE,
    BY_QUERY,
    Neighbourhood,
    freshness,
    neighbourhood,
    rank_all,
)
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.workers import in_parts
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.protocol import Recommender, Session
from domain.recommenders.session_knn import SessionKnn

NEURAL: Final = {"gru": "gru4rec", "sasrec": "sasrec", "bert4rec": "bert4rec"}
"""The names of the sources by their encoder."""
NEURAL_PROPOSES_MAX: Final = 20_000
"""Items of which the networks' best are candidates: to score so many takes a fifth of a millisecond."""
COVISITED: Final = ("score", "forward", "backward", "next", "before", "next_of_all", "highest")


class Source(Protocol):
    """One model, with what it says of a candidate: `features` are named after it, the first is what it ranks by."""

    name: str
    features: tuple[str, ...]
    proposes: bool  # whether its best items are candidates

    def top(self, queries: Queries, k: int) -> Ids:
        """The best items [queries, at most k], -1 where there are no more."""
        ...

    def describe(self, queries: Queries, candidates: Ids, rows: Floats) -> None:
        """Write its features of distinct `candidates` [queries, n] into `rows` [queries, n, features].

        Of an entry of -1 anything.
        """
        ...


class KnnSource:
    """Session-kNN, with several readings of its neighbours."""

    proposes = True

    def __init__(self, knn: SessionKnn, name: str = "vstan") -> None:
        self.name = name
        self.knn = knn
        self.features = (f"{name}_score", *_shares(name, BY_CANDIDATE), *(f"{name}_{fact}" for fact in BY_QUERY))
        self._fresh = freshness(knn)

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        return np.concatenate(in_parts(lambda part, _: rank_all(self.knn, part.offsets, part.items, k), queries))

    def describe(self, queries: Queries, candidates: Ids, rows: Floats) -> None:
        """See `Source.describe`: each reading as a share of its mass and of its highest, and the mass itself."""

        def describe(part: Queries, at: slice) -> None:
            fusion_neighbours.describe_queries(part.offsets, part.items, self.near(), candidates[at], rows[at])

        in_parts(describe, queries)

    def near(self) -> Neighbourhood:
        """What the kernels read, with working memory."""
        return neighbourhood(self.knn, self._fresh)


class CovisitationSource:
    """Item-to-item rows."""

    proposes = True

    def __init__(self, model: Covisitation, name: str = "covisitation") -> None:
        self.name = name
        self.model = model
        logs = (f"{name}_{reading}_log" for reading in COVISITED[1 : 1 + covisitation_kernel.LOGGED])
        self.features = (f"{name}_score", *_shares(name, COVISITED), *logs)

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        return np.concatenate(in_parts(lambda part, _: self._rank(part, k), queries))

    def describe(self, queries: Queries, candidates: Ids, rows: Floats) -> None:
        """See `Source.describe`."""

        def describe(part: Queries, at: slice) -> None:
            slot = np.full(self.model.items_count, -1, np.int32)
            covisitation_kernel.describe_queries(
                part.offsets, part.items, self.model.pairs(), slot, candidates[at], rows[at]
            )

        in_parts(describe, queries)

    def _rank(self, queries: Queries, k: int) -> Ids:
        items = np.full((len(queries), min(k, self.model.items_count)), -1, np.int32)
        covisitation_kernel.rank_queries(queries.offsets, queries.items, self.model.pairs(), items)
        return items


class NeuralSource:
    """A neural session model: logits, and their softmax over the candidates.

    It proposes only where it is quick to score every item: of a catalogue above `proposes_max` items it judges what
    others propose.
    """

    def __init__(self, model: NeuralSessionModel, proposes_max: int = NEURAL_PROPOSES_MAX) -> None:
        self.name = NEURAL[model.shape.kind]
        self.features = tuple(f"{self.name}_{said}" for said in ("score", "to_highest", "softmax", "near", "spread"))
        self.model = model
        self.proposes = model.items_count <= proposes_max

    def top(self, queries: Queries, k: int) -> Ids:
        """See `Source.top`."""
        encoded = self.encoded(queries)
        best = self.model.rank_many(encoded, k)[0]
        best[~encoded.any(axis=1)] = -1
        return best

    def describe(self, queries: Queries, candidates: Ids, rows: Floats) -> None:
        """See `Source.describe`; see `neural_kernel.judge_query`."""
        network = neural_kernel.Network(self.model.vectors, self.model.biases)
        encoded = self.encoded(queries)

        def describe(part: Queries, at: slice) -> None:
            neural_kernel.judge_queries(network, encoded[at], part.current, candidates[at], rows[at])

        in_parts(describe, queries)

    def encoded(self, queries: Queries) -> Floats:
        """[queries, width], found once."""
        return queries.noted(self.name, lambda: self.model.encode(queries.offsets, queries.items))


class PlainSource:
    """Any `Recommender`, asked query by query: for the baselines, which only answer and judge nothing."""

    proposes = True

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

    def describe(self, queries: Queries, candidates: Ids, rows: Floats) -> None:
        """See `Source.describe`: nothing."""


def _shares(name: str, readings: Sequence[str]) -> Iterator[str]:
    """The columns that `write_shares` writes."""
    for reading in readings:
        yield f"{name}_{reading}_share"
        yield f"{name}_{reading}_of_highest"
