"""The candidates of a batch of queries and all that is known of them: one row of features a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from domain.recommenders.fusion_candidates import own_items, place_candidates, unite, write_ranks
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.sources import Features, Source
from domain.recommenders.lineup.striking import Struck, first_kept, surplus

FROM_SOURCE: Final = 50
FROM_OWN: Final = (15, 25)
FROM_POPULAR: Final = 12
ABSENT: Final = 250.0
OF_VISITOR: Final = (
    "own_place", "own_count", "own_place_before", "own_share", "query_length", "query_variety", "query_newest_seen",
    "query_newest_last",
)  # fmt: skip


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

    @property
    def features(self) -> tuple[str, ...]:
        """What is known of a candidate, in the order of the columns."""
        of_sources = ((*source.features, *_rank_of(source)) for source in self.sources)
        return (*chain.from_iterable(of_sources), *self.facts.features, *OF_VISITOR)

    def judge(self, queries: Queries, candidates: Ids) -> Table:
        """The features of given candidates [queries, n]: distinct in their row, -1 where there are no more."""
        names = self.features
        rows = np.empty((*candidates.shape, len(names)), np.float32)
        first = 0
        for source in self.sources:
            last = first + len(source.features)
            source.describe(queries, candidates, rows[:, :, first:last])
            if source.features:
                write_ranks(candidates, rows, first, last)
            first = last + len(_rank_of(source))
        last = first + len(self.facts.features)
        self.facts.describe(candidates, rows[:, :, first:last])
        self._describe_place(queries, candidates, rows[:, :, last:])
        return Table(candidates, rows, names)

    def candidates(self, queries: Queries) -> Ids:
        """The union alone [queries, n], in the order of ids."""
        more = surplus(self.struck)
        lists = [source.top(queries, FROM_SOURCE + more) for source in self.sources]
        lists.append(own_items(queries.offsets, queries.items, self.items_count, *FROM_OWN))
        ends = np.cumsum([0, *(each.shape[1] for each in lists)])
        kept = [*(FROM_SOURCE for _ in self.sources), sum(FROM_OWN)]
        blocks = np.stack([ends[:-1], ends[1:], kept], axis=1).astype(np.int64)
        barred = (self.struck == "current", self.struck == "seen")
        popular = (self.facts.popular[:, : FROM_POPULAR + more], FROM_POPULAR)
        parts = (queries.offsets, queries.items, queries.current)
        return unite(parts, barred, self.items_count, np.concatenate(lists, axis=1), blocks, popular)

    def _describe_place(self, queries: Queries, candidates: Ids, rows: Features) -> None:
        """Where each candidate stands among the visitor's own items, and what these are like: `OF_VISITOR`."""
        rows[:, :, :3] = place_candidates(queries.offsets, queries.items, candidates, self.items_count, ABSENT)
        lengths = queries.lengths.astype(np.float32)
        newest = np.maximum(queries.current, 0)
        rows[:, :, 3] = rows[:, :, 1] / np.maximum(lengths, 1)[:, None]
        rows[:, :, 4] = lengths[:, None]
        rows[:, :, 5] = ((rows[:, :, 1] > 0).sum(axis=1) / np.clip(lengths, 1, FROM_OWN[0]))[:, None]
        rows[:, :, 6] = self.facts.facts["seen"][newest][:, None]
        rows[:, :, 7] = self.facts.facts["last"][newest][:, None]


def _rank_of(source: Source) -> tuple[str, ...]:
    """The column that holds the place of a candidate by the source's score; none for one that says nothing."""
    return (f"{source.name}_rank",) if source.features else ()
