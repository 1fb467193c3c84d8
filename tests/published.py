"""A small artifact on disk, published as the daily run does it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from domain.artifacts import Manifest, catalogue_fingerprint, digest_of, point_to, write_manifest
from domain.recommenders.popularity import Popularity
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary
from tests.builders import START_MS

SESSIONS = (("alien", "aliens", "dune"), ("heat", "ronin"), ("alien", "aliens"), ("dune", "alien", "heat"))


def publish(artifacts_dir: Path, version: str, sessions: Sequence[Sequence[str]] = SESSIONS) -> Path:
    """Build models over these sessions, write them as `version` and point to it; returns the folder."""
    folder = shelve(artifacts_dir, version, sessions)
    point_to(artifacts_dir, version)
    return folder


def shelve(
    artifacts_dir: Path, version: str, sessions: Sequence[Sequence[str]] = SESSIONS, *, cutoff_ms: int = START_MS
) -> Path:
    """Build models over these sessions and write them as `version`, which nobody serves yet; returns the folder."""
    vocabulary = Vocabulary(item for session in sessions for item in session)
    dense = [[vocabulary.item_ids.index(item) for item in session] for session in sessions]
    log = SessionLog.of((START_MS + place, items) for place, items in enumerate(dense))
    folder = artifacts_dir / version
    folder.mkdir(parents=True)
    vocabulary.save(folder)
    SessionKnn.build(log, len(vocabulary)).save(folder)
    Popularity(np.bincount([item for items in dense for item in items], minlength=len(vocabulary))).save(folder)
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
