"""Which artifact is published, and what its manifest says. Without the models themselves, so the speed job can ask too.

An artifact is a folder named after its version; `manifest.json` is written last, and it never changes. `current`,
beside the folders, names the version that is served; whoever publishes replaces that one file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec

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


def published_cutoff_ms(artifacts_dir: Path) -> int | None:
    """The cutoff up to which the batch layer has published, in epoch milliseconds; None before its first run.

    Raises:
        BrokenArtifact: the published artifact has no readable manifest.
    """
    version = current_version(artifacts_dir)
    if version is None or not (artifacts_dir / version).is_dir():
        return None
    return read_manifest(artifacts_dir / version).cutoff_ms
