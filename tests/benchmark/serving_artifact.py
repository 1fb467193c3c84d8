"""An artifact of any size as the daily run would publish it: of generated sessions, with everything that is ranked by.

Its weights are random, so its answers are worth nothing; what an answer costs depends on sizes alone. Items are the
benchmark shop's, by their rank. Made once for a size, and taken again from a folder that is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from domain.artifacts import Artifact, Manifest, catalogue_fingerprint, digest_of, point_to, write_manifest
from domain.recommenders.covisitation import Covisitation
from domain.recommenders.lineup.fusion import TREES, Fusion
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.neural_encoders import EncoderShape
from domain.recommenders.popularity import Popularity
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from domain.recommenders.tree_ensemble import TreeEnsemble
from domain.recommenders.vocabulary import Vocabulary
from schemas.errors import PlatformError
from tests.benchmark.shop import item_id

SESSION_ITEMS: Final = 5.0
SESSION_ITEMS_MAX: Final = 40
NEAR: Final = 0.6
"""So many of a session's items are of the neighbourhood of its first, which is how sessions come to be alike."""

NEIGHBOURHOOD: Final = 60.0
SPAN_MS: Final = 28 * 86_400_000
SAMPLED_QUERIES: Final = 40
"""Sessions whose candidates tell which values a feature has, so that the trees' thresholds divide them."""


@dataclass(frozen=True, slots=True)
class Size:
    """What the cost of an answer depends on."""

    items: int = 100_000
    sessions: int = 1_000_000
    width: int = 128
    trees: int = 150
    leaves: int = 31

    @property
    def version(self) -> str:
        """Says all of it."""
        return f"bench-{self.items}-{self.sessions}-{self.width}-{self.trees}-{self.leaves}"


def ensure_artifact(artifacts_dir: Path, size: Size, now_ms: int) -> Artifact:
    """The artifact of this size, current in the folder; made there unless one that can be read is there already."""
    folder = artifacts_dir / size.version
    try:
        artifact = Artifact.load(folder)
    except (PlatformError, OSError):
        make_artifact(folder, size, now_ms)
        artifact = Artifact.load(folder)
    point_to(artifacts_dir, size.version)
    return artifact


def make_artifact(folder: Path, size: Size, now_ms: int) -> None:
    """Write it; whatever is there is written over."""
    generator = np.random.default_rng(1)
    log = make_log(size, now_ms, generator)
    folder.mkdir(parents=True, exist_ok=True)
    Vocabulary(map(item_id, range(size.items))).save(folder)
    grown(size, log, generator).save(folder)
    Popularity(np.bincount(log.items, minlength=size.items)).save(folder)
    write_manifest(
        folder,
        Manifest(
            version=size.version,
            created_at_ms=now_ms,
            cutoff_ms=now_ms - now_ms % 86_400_000,
            lake_version=1,
            catalogue_fingerprint=catalogue_fingerprint(),
            files={path.name: digest_of(path) for path in folder.iterdir() if path.name != "manifest.json"},
            metrics={},
            counts={"items": size.items, "sessions": size.sessions},
        ),
    )


def make_log(size: Size, until_ms: int, generator: np.random.Generator) -> SessionLog:
    """Sessions of the four weeks until then: items by Zipf's law, most of a session near its first."""
    lengths = np.clip(generator.geometric(1 / SESSION_ITEMS, size.sessions), 2, SESSION_ITEMS_MAX)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    items = _zipf(size.items, int(offsets[-1]), generator)
    first = np.repeat(items[offsets[:-1]], lengths)
    steps = np.rint(generator.laplace(0, NEIGHBOURHOOD, len(items))).astype(np.int64)
    near = np.abs(first + steps) % size.items
    items = np.where(generator.random(len(items)) < NEAR, near, items)
    ended_at_ms = until_ms - np.sort(generator.integers(0, SPAN_MS, size.sessions))[::-1]
    return SessionLog(offsets, items.astype(np.int32), ended_at_ms.astype(np.int64))


def grown(size: Size, log: SessionLog, generator: np.random.Generator) -> FusedModel:
    """The three sources over the log, ranked by trees."""
    at_ms = np.repeat(log.ended_at_ms, np.diff(log.offsets))
    facts = ItemFacts.of(log.offsets, log.items, at_ms, size.items)
    knn = SessionKnn.build(log, size.items)
    covisitation, neural = Covisitation.build(log, size.items), _neural(size, generator)
    by_knn = FusedModel(knn, covisitation, neural, facts, Fusion("vstan", "current"))
    prefixes = [log.items[log.offsets[at] : log.offsets[at + 1]].tolist() for at in range(SAMPLED_QUERIES)]
    table = by_knn.lineup.table(Queries.of(prefixes))
    trees = grow_trees(table.features[table.candidates >= 0], size, generator)
    ensemble = TreeEnsemble.of(by_knn.features(), trees)
    return FusedModel(knn, covisitation, neural, facts, Fusion(TREES, "current", ensemble))


def grow_trees(rows: npt.NDArray[np.float32], size: Size, generator: np.random.Generator) -> list[dict[str, Any]]:
    """Trees as LightGBM dumps them, leaf after leaf, split at values that the features have; their leaves are random.

    A leaf is split where it holds sampled rows, the fuller one first: as deep on the left as on the right would be
    cheaper than what boosting grows.
    """
    return [{"tree_structure": _tree(rows, size.leaves, generator)} for _ in range(size.trees)]


def _tree(rows: npt.NDArray[np.float32], leaves: int, generator: np.random.Generator) -> dict[str, Any]:
    root: dict[str, Any] = {}
    open_leaves: list[tuple[dict[str, Any], npt.NDArray[np.float32]]] = [(root, rows)]
    while len(open_leaves) < leaves:
        weights = np.array([len(held) + 1.0 for _, held in open_leaves])
        leaf, held = open_leaves.pop(int(generator.choice(len(weights), p=weights / weights.sum())))
        feature = int(generator.integers(rows.shape[1]))
        threshold = float(generator.choice(held[:, feature] if len(held) else rows[:, feature]))
        goes_left = held[:, feature] <= threshold
        left: dict[str, Any] = {}
        right: dict[str, Any] = {}
        leaf |= {"split_feature": feature, "threshold": threshold, "decision_type": "<="}
        leaf |= {"left_child": left, "right_child": right}
        open_leaves += [(left, held[goes_left]), (right, held[~goes_left])]
    for leaf, _ in open_leaves:
        leaf["leaf_value"] = float(generator.normal(0, 0.1))
    return root


def _neural(size: Size, generator: np.random.Generator) -> NeuralSessionModel:
    """A GRU with random weights over random unit vectors."""
    shape = EncoderShape("gru", size.width, clicks_max=50, temperature=0.1)
    vectors = generator.normal(size=(size.items, size.width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    arrays = {name: _weights(dims, generator) for name, dims in shape.arrays().items()}
    return NeuralSessionModel(vectors, np.zeros(size.items, np.float32), shape, arrays)


def _weights(dimensions: Sequence[int], generator: np.random.Generator) -> npt.NDArray[np.float32]:
    drawn = generator.normal(size=tuple(dimensions)).astype(np.float32)
    scaled: npt.NDArray[np.float32] = drawn / np.float32(np.sqrt(dimensions[-1]))
    return scaled


def _zipf(items: int, count: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Ranks: the probability of rank r goes with 1 / r."""
    mass = np.cumsum(1.0 / np.arange(1, items + 1))
    found: npt.NDArray[np.int64] = np.searchsorted(mass, generator.random(count) * mass[-1], side="right")
    return np.minimum(found, items - 1)
