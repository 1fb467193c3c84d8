"""A sum of decision trees in flat arrays, scored by compiled code: what a gradient-boosted ranker is served as.

LightGBM's own `predict` costs more than a millisecond a call; the arrays of 100 trees score 120 candidates in a part
of that. Splits are numerical: a row goes left where value <= threshold, and NaN is not expected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from domain.recommenders.compiled import Floats, Ids, Reals, compiled
from domain.recommenders.stored import UnreadableModel, read_arrays, write_arrays

KIND = "tree-ensemble"
FORMAT = 1
FILE = "tree_ensemble.npz"
NAMES_FILE = "tree_ensemble.json"
_STORED: Final = ("roots", "feature", "threshold", "left", "right", "leaf_values")


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
    _nodes: Ids = field(init=False, repr=False)  # [nodes + leaves, 4], see `_packed`
    _depths: Ids = field(init=False, repr=False)  # [trees]

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

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_nodes", _packed(self.feature, self.threshold, self.left, self.right, len(self.leaf_values))
        )
        object.__setattr__(self, "_depths", _depths(self.roots, self.left, self.right))

    def scores(self, rows: Floats) -> Reals:
        """[rows] from [rows, features]; holds no interpreter lock."""
        scores = np.zeros(len(rows))
        nodes = self._nodes
        _score_rows(rows, self.roots, self._depths, nodes, nodes.view(np.float32), self.leaf_values, scores)
        return scores

    def save(self, folder: Path) -> None:
        """Write the arrays and the names of the features into `folder`, which exists."""
        arrays = {name: getattr(self, name) for name in _STORED}
        write_arrays(folder / FILE, KIND, FORMAT, arrays)
        (folder / NAMES_FILE).write_bytes(msgspec.json.encode(self.features))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        try:
            features = msgspec.json.decode((folder / NAMES_FILE).read_bytes(), type=tuple[str, ...])
        except (OSError, msgspec.MsgspecError) as error:
            raise UnreadableModel(folder / NAMES_FILE, str(error)) from error
        return cls(features, **read_arrays(folder / FILE, KIND, FORMAT, _STORED))


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


def _packed(feature: Ids, threshold: Reals, left: Ids, right: Ids, leaves: int) -> Ids:
    """[nodes + leaves, 4]: the column, the bits of the threshold as float32, the left and the right child.

    The threshold is the highest float32 that is not above it: of float32 values the same are below. Leaf `l` is node
    `nodes + l` and its own child, so that rows may go on until the last of them has arrived.
    """
    with np.errstate(over="ignore"):
        near = threshold.astype(np.float32)
    near = np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)
    nodes = len(feature)
    packed = np.zeros((nodes + leaves, 4), np.int32)
    packed[:nodes, 0], packed[:nodes, 1] = feature, near.view(np.int32)
    packed[:nodes, 2], packed[:nodes, 3] = (np.where(to < 0, nodes - 1 - to, to) for to in (left, right))
    packed[nodes:, 1] = np.float32(np.inf).view(np.int32)
    packed[nodes:, 2] = packed[nodes:, 3] = np.arange(nodes, nodes + leaves)
    return packed


def _depths(roots: Ids, left: Ids, right: Ids) -> Ids:
    """[trees], how many steps it is to the deepest leaf. A child comes after its parent."""
    below = [0] * len(left)
    pairs = list(zip(left.tolist(), right.tolist(), strict=True))
    for node in range(len(pairs) - 1, -1, -1):
        below[node] = 1 + max(below[child] if child >= 0 else 0 for child in pairs[node])
    return np.array([below[root] if root >= 0 else 0 for root in roots], np.int32)


@compiled
def _score_rows(
    rows: Floats, roots: Ids, depths: Ids, nodes: Ids, thresholds: Floats, leaves: Reals, scores: Reals
) -> None:
    """Tree by tree, four rows at a time: their steps do not wait for each other, and none is guessed."""
    inner = len(nodes) - len(leaves)
    together = len(rows) - len(rows) % 4
    for tree in range(len(roots)):
        root = np.uint64(roots[tree] if roots[tree] >= 0 else inner - 1 - roots[tree])
        for at in range(0, together, 4):
            one, two, three, four = root, root, root, root
            for _ in range(depths[tree]):
                one = _step(one, rows[at], nodes, thresholds)
                two = _step(two, rows[at + 1], nodes, thresholds)
                three = _step(three, rows[at + 2], nodes, thresholds)
                four = _step(four, rows[at + 3], nodes, thresholds)
            scores[at] += leaves[one - np.uint64(inner)]
            scores[at + 1] += leaves[two - np.uint64(inner)]
            scores[at + 2] += leaves[three - np.uint64(inner)]
            scores[at + 3] += leaves[four - np.uint64(inner)]
        for at in range(together, len(rows)):
            place = root
            for _ in range(depths[tree]):
                place = _step(place, rows[at], nodes, thresholds)
            scores[at] += leaves[place - np.uint64(inner)]


@compiled
def _step(node: np.uint64, row: Floats, nodes: Ids, thresholds: Floats) -> np.uint64:
    """The child; unsigned numbers because those with a sign might count from the end."""
    is_right = row[np.uint32(nodes[node, 0])] > thresholds[node, 1]
    return np.uint64(nodes[node, 2 + is_right])
