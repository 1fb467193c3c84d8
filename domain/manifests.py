"""Which artifact is published, and what its manifest says. Without the models themselves, so the speed job can ask too.

An artifact is a folder named after its version; `manifest.json` is written last, and it never changes. `current`,
beside the folders, names the version that is served, and below it the one that was served before; whoever promotes
replaces that one file. `covered` tells up to which cutoff the rows of the batch views are published: a newer one than
the current artifact's when the artifact of that run was refused.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import msgspec

from schemas.errors import ConsistencyError

MANIFEST: Final = "manifest.json"
CURRENT: Final = "current"
COVERED: Final = "covered"


class BrokenArtifact(ConsistencyError):
    """An artifact is not what its manifest says, or was made for another catalogue of features."""

    def __init__(self, folder: Path, problem: str) -> None:
        self.folder = folder
        self.problem = problem
        super().__init__(f"artifact {folder}: {problem}; run `python -m batch daily --fresh` with this version")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an artifact is, and what it was made of. `files` maps names to SHA-256 digests.

    `training` is all that was searched for: policies, epochs, trees, seeds. With it, the same log makes the same files.
    """

    version: str
    created_at_ms: int
    cutoff_ms: int
    lake_version: int
    catalogue_fingerprint: str
    files: dict[str, str]
    metrics: dict[str, float]
    counts: dict[str, int]
    training: dict[str, Any] = {}


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
    """The version that is served, None before the first one."""
    return next(iter(_pointer(artifacts_dir)), None)


def previous_version(artifacts_dir: Path) -> str | None:
    """The version that was served before the current one, None when there was none."""
    return next(iter(_pointer(artifacts_dir)[1:]), None)


def point_to(artifacts_dir: Path, version: str) -> None:
    """Serve a version: readers see the old name or the new one, never anything else."""
    before = [named for named in _pointer(artifacts_dir) if named != version]
    _replace(artifacts_dir / CURRENT, "".join(f"{named}\n" for named in (version, *before[:1])))


def cover(artifacts_dir: Path, cutoff_ms: int) -> None:
    """Tell that the rows of the batch views are published up to this cutoff."""
    artifacts_dir.mkdir(parents=True, exist_ok=True)
    _replace(artifacts_dir / COVERED, f"{cutoff_ms}\n")


def published_cutoff_ms(artifacts_dir: Path) -> int | None:
    """The cutoff up to which the batch layer has published, in epoch milliseconds; None before its first run.

    Raises:
        BrokenArtifact: what tells it cannot be read.
    """
    try:
        return int((artifacts_dir / COVERED).read_text())
    except FileNotFoundError:  # published by a release that promoted every artifact
        version = current_version(artifacts_dir)
    except ValueError as error:
        raise BrokenArtifact(artifacts_dir / COVERED, f"it holds no instant ({error})") from error
    if version is None or not (artifacts_dir / version).is_dir():
        return None
    return read_manifest(artifacts_dir / version).cutoff_ms


def _pointer(artifacts_dir: Path) -> list[str]:
    try:
        return (artifacts_dir / CURRENT).read_text().split()
    except FileNotFoundError:
        return []


def _replace(path: Path, text: str) -> None:
    waiting = path.with_name(f"{path.name}.{os.getpid()}")
    waiting.write_text(text)
    waiting.replace(path)
