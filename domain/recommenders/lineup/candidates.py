"""The candidates of a batch of queries and all that is known of them: one row of features a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np

from domain.recommenders.compiled import Floats
from domain.recommenders.fusion_candidates import own_items, unite, write_ranks
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.queries import Ids, Queries
from domain.recommenders.lineup.sources import Source
from domain.recommenders.lineup.striking import Struck, first_kept, surplus
from domain.recommenders.lineup.visitor_facts import FROM_OWN, OF_VISITOR, describe_visitors

FROM_SOURCE: Final = 50
FROM_POPULAR: Final = 12


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Candidates [queries, n], -1 where there are no more, and their features [queries, n, features]."""

    candidates: Ids
    features: Floats
    names: tuple[str, ...]

    def column(self, name: str) -> Floats:
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
        parts = (queries.offsets, queries.items, queries.current)
        describe_visitors(parts, self.facts.by_item, candidates, rows[:, :, first:])
        return Table(candidates, rows, names)

    def candidates(self, queries: Queries) -> Ids:
        """The union alone [queries, n], in the order of ids."""
        more = surplus(self.struck)
        proposing = [source for source in self.sources if source.proposes]
        lists = [source.top(queries, FROM_SOURCE + more) for source in proposing]
        lists.append(own_items(queries.offsets, queries.items, self.items_count, *FROM_OWN))
        ends = np.cumsum([0, *(each.shape[1] for each in lists)])
        kept = [*(FROM_SOURCE for _ in proposing), sum(FROM_OWN)]
        blocks = np.stack([ends[:-1], ends[1:], kept], axis=1).astype(np.int64)
        barred = (self.struck == "current", self.struck == "seen")
        popular = (self.facts.popular[:, : FROM_POPULAR + more], FROM_POPULAR)
        parts = (queries.offsets, queries.items, queries.current)
        return unite(parts, barred, self.items_count, np.concatenate(lists, axis=1), blocks, popular)


def _rank_of(source: Source) -> tuple[str, ...]:
    """The column that holds the place of a candidate by the source's score; none for one that says nothing."""
    return (f"{source.name}_rank",) if source.features else ()
