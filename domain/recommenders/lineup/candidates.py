"""The candidates of a batch of queries and all that is known of them: one row of features a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from domain.recommenders.fusion_candidates import own_items, place_candidates
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.sources import Columns, Features, Source
from domain.recommenders.lineup.striking import Struck, first_kept, strike, surplus

FROM_SOURCE: Final = 50
FROM_OWN: Final = (15, 25)
FROM_POPULAR: Final = 12
ABSENT: Final = 250.0


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Candidates [queries, n], -1 where there are no more, and their features [queries, n, features]."""

    candidates: Ids
    features: Features
    names: tuple[str, ...]

    def column(self, name: str) -> Features:
        """One feature [queries, n]."""
        return self.features[:, :, self.names.index(name)]


@dataclass(frozen=True, slots=True, eq=False)
class Lineup:
    """Sources over one vocabulary, with the facts of its items; under one rule of what may be answered."""

    sources: Sequence[Source]
    facts: ItemFacts
    struck: Struck

    @property
    def items_count(self) -> int:
        """Size of the vocabulary."""
        return self.facts.items_count

    def top(self, source: Source, queries: Queries, k: int) -> Ids:
        """The first `k` answers of one source that are not struck [queries, k]."""
        lists = source.top(queries, k + surplus(self.struck))
        return first_kept(lists, queries, self.struck, self.items_count, k)

    def table(self, queries: Queries) -> Table:
        """The union of the sources' answers, the visitor's own items and what is popular, with features."""
        return self.judge(queries, self.candidates(queries))

    def judge(self, queries: Queries, candidates: Ids) -> Table:
        """The features of given candidates [queries, n]: distinct in their row, -1 where there are no more."""
        columns: Columns = {}
        valid = candidates >= 0
        for source in self.sources:
            judged = source.columns(queries, candidates)
            judged[f"{source.name}_rank"] = _ranks(judged[f"{source.name}_score"], valid)
            columns |= judged
        columns |= self.facts.columns(candidates)
        columns |= self._of_visitor(queries, candidates)
        stacked = np.empty((*candidates.shape, len(columns)), np.float32)
        for at, values in enumerate(columns.values()):
            stacked[:, :, at] = values
        return Table(candidates, stacked, tuple(columns))

    def candidates(self, queries: Queries) -> Ids:
        """The union alone [queries, n], in the order of ids."""
        lists = [self.top(source, queries, FROM_SOURCE) for source in self.sources]
        own = own_items(queries.offsets, queries.items, self.items_count, *FROM_OWN)
        popular = [self.facts.popular(name, FROM_POPULAR + surplus(self.struck)) for name in ("newest", "new")]
        lists += [strike(own, queries, self.struck, self.items_count)]
        for items in popular:
            everywhere = np.repeat(items[None], len(queries), 0)
            lists.append(first_kept(everywhere, queries, self.struck, self.items_count, FROM_POPULAR))
        return _distinct(np.concatenate(lists, axis=1))

    def _of_visitor(self, queries: Queries, candidates: Ids) -> Columns:
        places = place_candidates(queries.offsets, queries.items, candidates, self.items_count, ABSENT)
        lengths = queries.lengths.astype(np.float32)
        newest = np.maximum(queries.current, 0)
        distinct = (places[:, :, 1] > 0).sum(axis=1, dtype=np.float32) / np.clip(lengths, 1, FROM_OWN[0])
        shape = candidates.shape
        return {
            "own_place": places[:, :, 0],
            "own_count": places[:, :, 1],
            "own_place_before": places[:, :, 2],
            "own_share": (places[:, :, 1] / np.maximum(lengths, 1)[:, None]).astype(np.float32),
            "query_length": np.broadcast_to(lengths[:, None], shape),
            "query_variety": np.broadcast_to(distinct[:, None], shape),
            "query_newest_seen": np.broadcast_to(self.facts.facts["seen"][newest][:, None], shape),
            "query_newest_last": np.broadcast_to(self.facts.facts["last"][newest][:, None], shape),
        }


def _distinct(lists: Ids) -> Ids:
    """Each item once a row, in the order of ids; as many columns as needed, at least one."""
    ordered = np.sort(lists, axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = -1
    ordered = -np.sort(-ordered, axis=1)
    width = int((ordered >= 0).sum(axis=1).max(initial=1))
    return np.ascontiguousarray(ordered[:, : max(width, 1)])


def _ranks(scores: Features, valid: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Features:
    order = np.argsort(np.where(valid, -scores, np.inf), axis=1, kind="stable")
    ranks = np.empty(scores.shape, np.float32)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(scores.shape[1], dtype=np.float32), scores.shape), axis=1)
    return ranks
