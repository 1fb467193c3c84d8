"""The compiled line-up for one thread: its working memory, and what was last asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.recommenders.compiled import Floats, Ids, Reals
from domain.recommenders.lineup import kernel
from domain.recommenders.lineup.candidates import FROM_POPULAR, FROM_SOURCE, Lineup
from domain.recommenders.lineup.sources import CovisitationSource, KnnSource, NeuralSource
from domain.recommenders.lineup.striking import surplus
from domain.recommenders.lineup.visitor_facts import FROM_OWN
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.neural_kernel import Network
from domain.recommenders.session_knn_kernel import NOTHING, SEARCH

WHOLE: Final = np.array([NOTHING], np.int32)
"""A query is asked with nothing left out."""
NOTHING_ENCODED: Final = np.zeros((1, 1), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A session, the number of its search, its candidates in the order of ids, and their scores."""

    known: list[int]
    query: Ids
    search: int
    candidates: Ids
    scores: Reals

    def newest_without(self, cause: int) -> int:
        """The newest item that is not `cause`, -1 where there is none."""
        return next((item for item in reversed(self.known) if item != cause), -1)


class Memory:
    """Belongs to one thread."""

    def __init__(self, lineup: Lineup, neural: NeuralSessionModel | None) -> None:
        self._neural = neural
        self._network = next((each for each in lineup.sources if isinstance(each, NeuralSource)), None)
        self._proposes = self._network is not None and self._network.proposes
        self.parts = _parts(lineup, self._network, self._proposes)
        self._rows = np.empty((len(self.parts.candidates), len(lineup.features)), np.float32)
        self.query = np.empty(0, np.int32)

    @property
    def search(self) -> int:
        """The number of the newest search among sessions."""
        return int(self.parts.near.scratch.state[SEARCH])

    def table(self, known: list[int]) -> tuple[Ids, Floats]:
        """The candidates [n] of a session with known items, ascending, and their features [n, features].

        The features are gone with the next call.
        """
        self.query = np.array(known, np.int32)
        encoded = encoded_of(self._neural, self.query, WHOLE)[0]
        if self._proposes and self._neural is not None:
            own = self.parts.lists[self.parts.rule.blocks[-1, 0] :]
            own[:] = self._neural.rank_many(encoded[None], len(own))[0][0] if encoded.any() else -1
        count = kernel.table(self.query, encoded, self.parts, self._rows)
        return self.parts.candidates[:count].copy(), self._rows[:count]


def encoded_of(neural: NeuralSessionModel | None, query: Ids, left_out: Ids) -> Floats:
    """A session without each of some items [left out, width]; of no use where there is no network."""
    if neural is None:
        return NOTHING_ENCODED.repeat(len(left_out), axis=0)
    return neural.encode_without(query, left_out)


def _parts(lineup: Lineup, network: NeuralSource | None, proposes: bool) -> kernel.Parts:
    knn = next(each for each in lineup.sources if isinstance(each, KnnSource))
    covisitation = next(each for each in lineup.sources if isinstance(each, CovisitationSource))
    items, more = lineup.items_count, surplus(lineup.struck)
    size = min(FROM_SOURCE + more, items)
    sizes = [size, size, sum(FROM_OWN), *([size] if proposes else [])]
    kept = [FROM_SOURCE, FROM_SOURCE, sum(FROM_OWN), *([FROM_SOURCE] if proposes else [])]
    ends = np.cumsum([0, *sizes])
    return kernel.Parts(
        near=knn.near(),
        pairs=covisitation.model.pairs(),
        network=_network_of(network),
        by_item=lineup.facts.by_item,
        popular=np.ascontiguousarray(lineup.facts.popular[:, : FROM_POPULAR + more]),
        rule=kernel.Rule(
            lineup.struck == "current",
            lineup.struck == "seen",
            np.stack([ends[:-1], ends[1:], kept], axis=1).astype(np.int64),
            FROM_POPULAR,
            FROM_OWN[0],
        ),
        counts=np.zeros(items, np.int32),
        taken=np.full(items, -1, np.int64),
        queries=np.zeros(1, np.int64),
        lists=np.full(ends[-1], -1, np.int32),
        scores=np.empty(size),
        candidates=np.empty(sum(kept) + 2 * FROM_POPULAR, np.int32),
    )


def _network_of(network: NeuralSource | None) -> Network:
    if network is None:
        return Network(np.empty((0, 1), np.float32), np.empty(0, np.float32))
    return Network(network.model.vectors, network.model.biases)
