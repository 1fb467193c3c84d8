"""What ranked lists are worth besides their hits: breadth, popularity bias, novelty, surprise and variety.

Measures over the lists of a system, where an item's count is how often the training log has it
- answered = share of queries with an item at all; full = share of lists with k items.
- coverage = distinct recommended items of the training log / items of the training log.
- popularity = mean of count / largest count over all recommended places; ARP (average recommendation popularity; Yin et
  al., "Challenging the Long Tail Recommendation", VLDB 2012) = mean count. Items without a count have 0.
- Gini = inequality of how often each item of the training log is recommended: 0 alike, 1 all places for one item.
- novelty = mean of -log2(count / all counts), a count of 0 taken as 1 (Vargas and Castells, RecSys 2011), in bits.
- cold = share of recommended places whose item has no count.
- serendipity = mean over queries of (hits of the rest of the session that the list of a primitive system, here the most
  popular items, does not have) / k (Ge, Delgado-Battenfeld and Jannach, "Beyond Accuracy", RecSys 2010).
- diversity = mean over lists of the mean distance of its pairs, a distance being 1 - Jaccard similarity of the two
  items' categories (Ziegler et al., WWW 2005). Items without categories are left out, as are lists with fewer than two
  others; without any such list it is NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from domain.evaluation import NOTHING, EvaluationQuery

Lists = npt.NDArray[np.int32]  # [queries, k], `NOTHING` where there is no item
Counts = npt.NDArray[np.int64]  # [items]
Categories = Mapping[int, frozenset[str]]


class ListMeasures(NamedTuple):
    """See the module's docstring."""

    answered: float
    full: float
    coverage: float
    popularity: float
    arp: float
    gini: float
    novelty: float
    cold: float
    serendipity: float
    diversity: float


def measure_lists(
    lists: Lists, queries: Sequence[EvaluationQuery], counts: Counts, primitive: Lists, categories: Categories
) -> ListMeasures:
    """Every measure of the lists; `primitive` are the lists of the most popular items for the same queries.

    Items from `len(counts)` on are unknown to the training log: their count is 0.
    """
    shown = lists[lists != NOTHING]
    known = counts[np.minimum(shown, len(counts) - 1)] * (shown < len(counts)) if len(counts) else shown * 0
    total = max(int(counts.sum()), 1)
    exposure = np.bincount(shown[known > 0], minlength=len(counts))[counts > 0]
    return ListMeasures(
        answered=_mean((lists != NOTHING).any(axis=1)),
        full=_mean((lists != NOTHING).all(axis=1)),
        coverage=_mean(exposure > 0),
        popularity=_mean(known / max(int(counts.max(initial=0)), 1)),
        arp=_mean(known),
        gini=gini(exposure),
        novelty=_mean(-np.log2(np.maximum(known, 1) / total)),
        cold=_mean(known == 0),
        serendipity=_serendipity(lists, queries, primitive),
        diversity=_diversity(lists, categories),
    )


def gini(exposure: npt.NDArray[np.int64]) -> float:
    """The Gini coefficient of counts that are not negative; 0 when all are 0 or there are none."""
    total = int(exposure.sum())
    if not total:
        return 0.0
    size = len(exposure)
    ranks = np.arange(1, size + 1)
    return float(2 * (ranks * np.sort(exposure)).sum() / (size * total) - (size + 1) / size)


def _serendipity(lists: Lists, queries: Sequence[EvaluationQuery], primitive: Lists) -> float:
    surprises = [
        len((set(shown) & (set(query.rest) or {query.target})) - set(usual) - {NOTHING})
        for shown, usual, query in zip(lists.tolist(), primitive.tolist(), queries, strict=True)
    ]
    return _mean(np.array(surprises) / lists.shape[1])


def _diversity(lists: Lists, categories: Categories) -> float:
    different, repeats = np.unique(lists, axis=0, return_counts=True)
    distances = [list_diversity(shown, categories) for shown in different.tolist()]
    measured = [(each, times) for each, times in zip(distances, repeats.tolist(), strict=True) if each is not None]
    if not measured:
        return float("nan")
    return float(np.average([each for each, _ in measured], weights=[times for _, times in measured]))


def list_diversity(shown: Sequence[int], categories: Categories) -> float | None:
    """The mean distance of the pairs of one list; None when fewer than two of its items have categories."""
    sets = [found for item in shown if (found := categories.get(item))]
    if len(sets) < 2:
        return None
    distances = [1 - len(one & other) / len(one | other) for one, other in combinations(sets, 2)]
    return sum(distances) / len(distances)


def _mean(values: npt.NDArray[np.generic]) -> float:
    return float(values.mean()) if len(values) else 0.0
