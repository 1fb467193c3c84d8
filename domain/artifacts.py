"""Artifacts: a trained model, its vocabulary and what is known of how it was made, in one folder that never changes.

A folder of artifacts holds one folder a version, and a file `current` that names the version to serve. An artifact is
written beside its place and renamed into it; `current` is replaced atomically. So a reader sees a whole one or none.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from domain.features import AGGREGATED, SESSION
from domain.recommenders.popularity import Popularity
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.vocabulary import Vocabulary
from schemas.errors import ConsistencyError

MANIFEST: Final = "manifest.json"
CURRENT: Final = "current"
READ_BYTES: Final = 1 << 20


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is known of an artifact. `files` maps each file to its SHA-256; `metrics` are of the offline evaluation."""

    version: str
    created_at_ms: int
    cutoff_ms: int
    lake_version: int
    catalogue_fingerprint: str
    files: dict[str, str]
    counts: dict[str, int]
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A loaded artifact: dense ids of `session_knn` and `popularity` are those of `vocabulary`."""

    manifest: Manifest
    vocabulary: Vocabulary
    session_knn: SessionKnn
    popularity: Popularity

    @property
    def version(self) -> str:
        """The artifact's name."""
        return self.manifest.version

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read and check an artifact.

        Raises:
            ConsistencyError: it is incomplete, a file is not the one that the manifest names, or it was made for
                another feature catalogue.
        """
        manifest = read_manifest(folder)
        expected = catalogue_fingerprint()
        if manifest.catalogue_fingerprint != expected:
            raise ConsistencyError(
                f"artifact {manifest.version} was made for catalogue {manifest.catalogue_fingerprint[:12]}, "
                f"this code has {expected[:12]}: run `python -m batch daily` with this version"
            )
        for name, digest in manifest.files.items():
            if not (folder / name).is_file() or sha256(folder / name) != digest:
                raise ConsistencyError(f"artifact {manifest.version}: {name} is damaged or missing: publish it again")
        return cls(manifest, Vocabulary.load(folder), SessionKnn.load(folder), Popularity.load(folder))

    @classmethod
    def current(cls, artifacts_dir: Path) -> Self | None:
        """The artifact to serve, None before the first one; raises ConsistencyError like `load`."""
        version = current_version(artifacts_dir)
        return None if version is None else cls.load(artifacts_dir / version)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of one artifact; raises ConsistencyError when there is none that can be read."""
    path = folder / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConsistencyError(f"cannot read {path}: {error}; publish the artifact again") from error


def current_version(artifacts_dir: Path) -> str | None:
    """The name of the version to serve, None before the first one."""
    path = artifacts_dir / CURRENT
    return path.read_text().strip() or None if path.exists() else None


def make_current(artifacts_dir: Path, version: str) -> None:
    """Name the version to serve, atomically; raises ConsistencyError when there is no such artifact."""
    read_manifest(artifacts_dir / version)
    unfinished = artifacts_dir / f".{CURRENT}.{os.getpid()}"
    unfinished.write_text(version + "\n")
    unfinished.replace(artifacts_dir / CURRENT)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the manifest beside the files that it describes: the last step of writing an artifact."""
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")


def digests_of(folder: Path) -> Mapping[str, str]:
    """SHA-256 of every file in a folder but the manifest, by name."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    return {name: sha256(folder / name) for name in names}


def sha256(path: Path) -> str:
    """The digest of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def catalogue_fingerprint() -> str:
    """SHA-256 of everything that the feature catalogue says about columns and aggregates."""
    said = [(feature.entity, feature.name, repr(feature.aggregate)) for feature in AGGREGATED]
    said += [
        ("session", feature.name, repr([(value.name, value.type) for value in feature.values])) for feature in SESSION
    ]
    return hashlib.sha256(msgspec.json.encode(said)).hexdigest()
