"""Pack the models of a run into an artifact: `domain.artifacts` says what one is."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from domain.artifacts import (
    Manifest,
    catalogue_fingerprint,
    current_version,
    digest_of,
    previous_version,
    read_manifest,
    write_manifest,
)
from domain.experiments.declaration import BadExperiments, read_declaration

KEPT: int = 5
"""Artifacts that stay on disk, so that one can go back."""


def pack(
    models: Path,
    artifacts_dir: Path,
    *,
    cutoff_ms: int,
    lake_version: int,
    created_at_ms: int,
    metrics: Mapping[str, float],
    counts: Mapping[str, int],
    training: Mapping[str, Any],
) -> Manifest:
    """Copy the model files into a folder of their own, described and complete before it gets its name.

    The version follows from the cutoff and the content, so packing the same models again finds the same artifact.
    """
    files = {path.name: digest_of(path) for path in sorted(models.iterdir())}
    fingerprint = catalogue_fingerprint()
    content = hashlib.sha256("\n".join([fingerprint, *files.values()]).encode()).hexdigest()
    version = f"{datetime.fromtimestamp(cutoff_ms / 1000, UTC):%Y%m%dT%H%M%SZ}-{content[:10]}"
    folder = artifacts_dir / version
    if folder.exists():
        return read_manifest(folder)
    manifest = Manifest(
        version=version,
        created_at_ms=created_at_ms,
        cutoff_ms=cutoff_ms,
        lake_version=lake_version,
        catalogue_fingerprint=fingerprint,
        files=files,
        metrics=dict(metrics),
        counts=dict(counts),
        training=dict(training),
    )
    unfinished = artifacts_dir / f".{version}"
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(models, unfinished)
    write_manifest(unfinished, manifest)
    unfinished.rename(folder)
    return manifest


def prune(artifacts_dir: Path, experiments: Path) -> None:
    """Remove all but the newest artifacts, the one that is served, the one before it, and those of experiments.

    While the file of experiments cannot be read nothing is removed.
    """
    try:
        named = read_declaration(experiments.read_bytes(), str(experiments)).models if experiments.exists() else set()
    except (BadExperiments, OSError):
        return
    needed = {current_version(artifacts_dir), previous_version(artifacts_dir), *named}
    folders = sorted((path for path in artifacts_dir.iterdir() if (path / "manifest.json").exists()), reverse=True)
    for folder in folders[KEPT:]:
        if folder.name not in needed:
            shutil.rmtree(folder)
