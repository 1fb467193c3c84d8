"""A small artifact on disk, published as the daily run does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from domain.artifacts import Manifest, catalogue_fingerprint, digest_of, point_to, write_manifest
from domain.recommenders.content import ContentSimilarity
from domain.recommenders.covisitation import Covisitation
from domain.recommenders.item_content import Embeddings
from domain.recommenders.lineup.fusion import Fusion
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.long_term_taste import LongTermTaste
from domain.recommenders.popularity import Popularity
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_knn_policy import SessionKnnPolicy
from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary
from tests.builders import START_MS

Categories = Mapping[str, str]
NOTHING: Final[Categories] = MappingProxyType({})
SESSIONS = (("alien", "aliens", "dune"), ("heat", "ronin"), ("alien", "aliens"), ("dune", "alien", "heat"))


def publish(
    artifacts_dir: Path, version: str, sessions: Sequence[Sequence[str]] = SESSIONS, categories: Categories = NOTHING
) -> Path:
    """Build models over these sessions, write them as `version` and point to it; returns the folder."""
    folder = shelve(artifacts_dir, version, sessions, categories=categories)
    point_to(artifacts_dir, version)
    return folder


def shelve(
    artifacts_dir: Path,
    version: str,
    sessions: Sequence[Sequence[str]] = SESSIONS,
    *,
    cutoff_ms: int = START_MS,
    categories: Categories = NOTHING,
) -> Path:
    """Build models over these sessions and write them as `version`, which nobody serves yet; returns the folder.

    With categories of items, which nobody need have visited, it knows what these are about, and tastes by them.
    """
    vocabulary = Vocabulary([*(item for session in sessions for item in session), *categories])
    dense = [[vocabulary.item_ids.index(item) for item in session] for session in sessions]
    log = SessionLog.of((START_MS + place, items) for place, items in enumerate(dense))
    folder = artifacts_dir / version
    folder.mkdir(parents=True)
    vocabulary.save(folder)
    neighbours_alone(log, len(vocabulary)).save(folder)
    Popularity(np.bincount([item for items in dense for item in items], minlength=len(vocabulary))).save(folder)
    if categories:
        about = np.array(
            [
                [categories.get(item) == each for each in sorted(set(categories.values()))]
                for item in vocabulary.item_ids
            ],
            np.float32,
        )  # [items, categories]
        ContentSimilarity(Embeddings.of(about)).save(folder)
        LongTermTaste(about).save(folder)
    manifest = Manifest(
        version=version,
        created_at_ms=START_MS,
        cutoff_ms=cutoff_ms,
        lake_version=1,
        catalogue_fingerprint=catalogue_fingerprint(),
        files={path.name: digest_of(path) for path in folder.iterdir()},
        metrics={},
        counts={"items": len(vocabulary)},
    )
    write_manifest(folder, manifest)
    return folder


def neighbours_alone(log: SessionLog, items_count: int, policy: SessionKnnPolicy | None = None) -> FusedModel:
    """A line-up of what nobody trained, ranked by the session-kNN, which may recommend what the session holds."""
    at_ms = np.repeat(log.ended_at_ms, np.diff(log.offsets))
    facts = ItemFacts.of(log.offsets, log.items, at_ms, items_count)
    knn, covisitation = SessionKnn.build(log, items_count, policy), Covisitation.build(log, items_count)
    return FusedModel(knn, covisitation, None, facts, Fusion("vstan", "nothing"))
