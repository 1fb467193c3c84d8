"""An artifact: the models of one daily run, with the vocabulary, the fingerprint of the catalogue and the metrics.

A folder named after its version holds the files and, last written, `manifest.json`. It never changes. `current`,
beside the folders, names the version that is served; whoever publishes replaces that one file.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from domain.features import AGGREGATED, JOIN_KEYS, batch_view_columns, session_view_columns, stream_view_columns
from domain.recommenders.popularity import Popularity
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.vocabulary import Vocabulary
from schemas.errors import ConsistencyError

MANIFEST: Final = "manifest.json"
CURRENT: Final = "current"


class BrokenArtifact(ConsistencyError):
    """An artifact is not what its manifest says, or was made for another catalogue of features."""

    def __init__(self, folder: Path, problem: str) -> None:
        self.folder = folder
        self.problem = problem
        super().__init__(f"artifact {folder}: {problem}; run `python -m batch daily --fresh` with this version")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an artifact is, and what it was made of. `files` maps names to SHA-256 digests."""

    version: str
    created_at_ms: int
    cutoff_ms: int
    lake_version: int
    catalogue_fingerprint: str
    files: dict[str, str]
    metrics: dict[str, float]
    counts: dict[str, int]


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
    """The models of one version, in memory, all over one vocabulary."""

    manifest: Manifest
    vocabulary: Vocabulary
    session_knn: SessionKnn
    popularity: Popularity

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
        artifact = cls(manifest, Vocabulary.load(folder), SessionKnn.load(folder), Popularity.load(folder))
        sizes = {
            len(artifact.vocabulary),
            artifact.session_knn.index.items_count,
            len(artifact.popularity.counts),
        }
        if len(sizes) > 1:
            raise BrokenArtifact(folder, f"its models know different numbers of items: {sorted(sizes)}")
        return artifact

    @classmethod
    def current(cls, artifacts_dir: Path) -> Self | None:
        """The published artifact, None before the first one; raises as `load` does."""
        version = current_version(artifacts_dir)
        return None if version is None else cls.load(artifacts_dir / version)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an artifact, its files unread; raises BrokenArtifact."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise BrokenArtifact(folder, f"{MANIFEST} cannot be read ({error})") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest: the last file of an artifact."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))


def current_version(artifacts_dir: Path) -> str | None:
    """The version that is published, None before the first one."""
    try:
        return (artifacts_dir / CURRENT).read_text().strip() or None
    except FileNotFoundError:
        return None


def point_to(artifacts_dir: Path, version: str) -> None:
    """Publish a version: readers see the old name or the new one, never anything else."""
    waiting = artifacts_dir / f"{CURRENT}.{os.getpid()}"
    waiting.write_text(f"{version}\n")
    waiting.replace(artifacts_dir / CURRENT)
