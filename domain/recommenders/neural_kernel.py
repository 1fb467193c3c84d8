"""The compiled loops over the candidates of a neural session model."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from domain.recommenders.compiled import Floats, Ids, compiled, in_any_order

COLUMNS: Final = 5
LOGIT_MIN: Final = np.float32(-1e4)


class Network(NamedTuple):
    """What an encoded session is compared with."""

    vectors: Floats  # [items, width]
    biases: Floats  # [items]


@compiled
def judge_queries(network: Network, encoded: Floats, current: Ids, candidates: Ids, rows: Floats) -> None:
    """`judge_query` for each row of `encoded` [queries, width]."""
    for number in range(len(current)):
        judge_query(network, encoded[number], current[number], candidates[number], rows[number])


@compiled
def judge_query(network: Network, encoded: Floats, current: int, candidates: Ids, rows: Floats) -> None:
    """Write of each candidate [n] into the first `COLUMNS` of `rows` [n, columns] what the network says.

    The logit, its distance to the highest, its softmax, and two that explain it: how near the candidate is to the
    newest item, and how the mass is spread over the candidates. Of an entry of -1 anything.
    """
    vectors, biases = network.vectors, network.biases
    newest = vectors[max(current, 0)]
    highest = LOGIT_MIN
    for at in range(len(candidates)):
        item = candidates[at]
        if item < 0:
            continue
        rows[at, 0] = max(_product(vectors[item], encoded) + biases[item], LOGIT_MIN)
        rows[at, 3] = _product(vectors[item], newest) if current >= 0 else np.float32(0.0)
        highest = max(highest, rows[at, 0])
    mass = 0.0
    for at in range(len(candidates)):
        if candidates[at] >= 0:
            rows[at, 1] = max(rows[at, 0] - highest, LOGIT_MIN)
            mass += np.exp(rows[at, 1])
    spread = np.float32(np.log(max(mass, 1e-9)))
    for at in range(len(candidates)):
        if candidates[at] >= 0:
            rows[at, 2] = np.exp(rows[at, 1] - spread)
            rows[at, 4] = spread


@in_any_order
def _product(left: Floats, right: Floats) -> np.float32:
    total = np.float32(0.0)
    for at in range(len(left)):
        total += left[at] * right[at]
    return total
