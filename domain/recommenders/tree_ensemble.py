"""A sum of decision trees in flat arrays, scored by compiled code: what a gradient-boosted ranker is served as.

LightGBM's own `predict` costs more than a millisecond a call; the arrays of 100 trees score 120 candidates in a part
of that. Splits are numerical: a row goes left where value <= threshold, and NaN is not expected.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders.session_knn_kernel import Ids, Reals, compiled
from domain.recommenders.stored import UnreadableModel, read_arrays, write_arrays

KIND = "tree-ensemble"
FORMAT = 1
FILE = "tree_ensemble.npz"
NAMES_FILE = "tree_ensemble.json"


@dataclass(frozen=True, slots=True, eq=False)
class TreeEnsemble:
    """Nodes of all trees one after another. A child below 0 is the leaf of number -1 - child."""

    features: tuple[str, ...]
    roots: npt.NDArray[np.int32]  # [trees], node or (below 0) leaf
    feature: npt.NDArray[np.int32]  # [nodes], column of a row
    threshold: npt.NDArray[np.float64]  # [nodes]
    left: npt.NDArray[np.int32]  # [nodes]
    right: npt.NDArray[np.int32]  # [nodes]
    leaf_values: npt.NDArray[np.float64]  # [leaves]

    @classmethod
    def of(cls, features: tuple[str, ...], trees: list[dict[str, Any]]) -> Self:
        """From tree structures as `Booster.dump_model()["tree_info"]` holds them."""
        roots: list[int] = []
        nodes: list[list[float]] = []
        leaves: list[float] = []
        for tree in trees:
            roots.append(_add(tree["tree_structure"], nodes, leaves))
        columns = np.array(nodes, np.float64).reshape(-1, 4)
        feature, left, right = (columns[:, at].astype(np.int32) for at in (0, 2, 3))
        return cls(features, np.array(roots, np.int32), feature, columns[:, 1].copy(), left, right, np.array(leaves))

    def scores(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """[rows] from [rows, features]; holds no interpreter lock."""
        scores = np.zeros(len(rows))
        _score_rows(rows, (self.roots, self.feature, self.left, self.right), self.threshold, self.leaf_values, scores)
        return scores

    def save(self, folder: Path) -> None:
        """Write the arrays and the names of the features into `folder`, which exists."""
        arrays = {name: getattr(self, name) for name in self.__slots__ if name != "features"}
        write_arrays(folder / FILE, KIND, FORMAT, arrays)
        (folder / NAMES_FILE).write_bytes(msgspec.json.encode(self.features))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        try:
            features = msgspec.json.decode((folder / NAMES_FILE).read_bytes(), type=tuple[str, ...])
        except (OSError, msgspec.MsgspecError) as error:
            raise UnreadableModel(folder / NAMES_FILE, str(error)) from error
        names = [name for name in cls.__slots__ if name != "features"]
        return cls(features, **read_arrays(folder / FILE, KIND, FORMAT, names))


def _add(node: dict[str, Any], nodes: list[list[float]], leaves: list[float]) -> int:
    """Append a subtree, the left one first, and return its number."""
    if "leaf_value" in node and "split_feature" not in node:
        leaves.append(node["leaf_value"])
        return -len(leaves)
    if node["decision_type"] != "<=":
        raise ValueError(f"only numerical splits can be exported, not {node['decision_type']!r}")
    number = len(nodes)
    nodes.append([node["split_feature"], node["threshold"], 0, 0])
    nodes[number][2] = _add(node["left_child"], nodes, leaves)
    nodes[number][3] = _add(node["right_child"], nodes, leaves)
    return number


@compiled
def _score_rows(
    rows: npt.NDArray[np.float32], trees: tuple[Ids, Ids, Ids, Ids], threshold: Reals, leaves: Reals, scores: Reals
) -> None:
    """Tree by tree, so that the nodes of one tree stay in the cache while all rows pass through it."""
    roots, feature, left, right = trees
    for root in roots:
        for at in range(len(rows)):
            node = root
            while node >= 0:
                node = left[node] if rows[at, feature[node]] <= threshold[node] else right[node]
            scores[at] += leaves[-1 - node]
