"""The best of a score for each item of the catalogue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from domain.recommenders.protocol import Ranking, empty_ranking


def best_of_all(scores: npt.NDArray[np.float32], k: int) -> Ranking:
    """The `k` items of the highest scores [items], the lower id first on a tie; those of -inf are never among them."""
    size = min(k, int(np.count_nonzero(scores > -np.inf)))
    if size <= 0:
        return empty_ranking()
    last = np.partition(scores, len(scores) - size)[len(scores) - size]
    above = np.flatnonzero(scores > last)
    items = np.concatenate((above, np.flatnonzero(scores == last)[: size - len(above)]))
    order = np.lexsort((items, -scores[items]))
    chosen = items[order].astype(np.int32)
    return Ranking(chosen, scores[chosen].astype(np.float32))
