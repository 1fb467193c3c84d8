"""An artifact: the models of one daily run, with the vocabulary, the fingerprint of the catalogue and the metrics.

A folder named after its version holds the files and, last written, `manifest.json`; see `domain.manifests`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import msgspec

from domain.features import AGGREGATED, JOIN_KEYS, batch_view_columns, session_view_columns, stream_view_columns
from domain.manifests import (
    COVERED,
    CURRENT,
    MANIFEST,
    BrokenArtifact,
    Manifest,
    cover,
    current_version,
    point_to,
    previous_version,
    published_cutoff_ms,
    read_manifest,
    write_manifest,
)
from domain.recommenders import content, long_term_taste
from domain.recommenders.content import ContentSimilarity
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.long_term_taste import LongTermTaste
from domain.recommenders.popularity import Popularity
from domain.recommenders.vocabulary import Vocabulary

__all__ = [
    "COVERED",
    "CURRENT",
    "MANIFEST",
    "Artifact",
    "BrokenArtifact",
    "Manifest",
    "catalogue_fingerprint",
    "cover",
    "current_version",
    "digest_of",
    "point_to",
    "previous_version",
    "published_cutoff_ms",
    "read_manifest",
    "write_manifest",
]


def catalogue_fingerprint() -> str:
    """SHA-256 over what the features are and how they are stored, whatever is said about them."""
    features = [(feature.name, feature.entity, repr(feature.aggregate)) for feature in AGGREGATED]
    columns = [[*batch_view_columns(entity), *stream_view_columns(entity)] for entity in JOIN_KEYS]
    return hashlib.sha256(msgspec.json.encode([features, columns, session_view_columns()])).hexdigest()


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """The models of one version, in memory, all over one vocabulary.

    There is no `content` without a catalogue, and no `taste` without histories enough.
    """

    manifest: Manifest
    vocabulary: Vocabulary
    model: FusedModel
    popularity: Popularity
    content: ContentSimilarity | None = None
    taste: LongTermTaste | None = None

    @property
    def version(self) -> str:
        """The name of the version."""
        return self.manifest.version

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The artifact in `folder`, every file checked.

        Raises:
            ConsistencyError: a file is missing or has another checksum, or the catalogue has changed since.
        """
        manifest = read_manifest(folder)
        if manifest.catalogue_fingerprint != catalogue_fingerprint():
            raise BrokenArtifact(folder, "it was made for another catalogue of features")
        for name, digest in manifest.files.items():
            path = folder / name
            if not path.is_file() or digest_of(path) != digest:
                raise BrokenArtifact(folder, f"{name} is missing or not the one that the manifest names")
        artifact = cls(
            manifest,
            Vocabulary.load(folder),
            FusedModel.load(folder),
            Popularity.load(folder),
            ContentSimilarity.load(folder) if content.FILE in manifest.files else None,
            LongTermTaste.load(folder) if long_term_taste.FILE in manifest.files else None,
        )
        sizes = {len(artifact.vocabulary), artifact.model.items_count, len(artifact.popularity.counts)}
        sizes |= {model.items_count for model in (artifact.content, artifact.taste) if model is not None}
        if len(sizes) > 1:
            raise BrokenArtifact(folder, f"its models know different numbers of items: {sorted(sizes)}")
        return artifact

    @classmethod
    def current(cls, artifacts_dir: Path) -> Self | None:
        """The published artifact, None before the first one; raises as `load` does."""
        version = current_version(artifacts_dir)
        return None if version is None else cls.load(artifacts_dir / version)
