"""Make another artifact the current one: checked before, in one rename, one at a time. Servers follow by themselves."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from domain.artifacts import Artifact, current_version, point_to, previous_version
from domain.manifests import MANIFEST, BrokenArtifact
from schemas.errors import ConfigurationError

LOCK: Final = "lock"


class UnknownVersion(ConfigurationError):
    """No artifact of this name was ever made."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(version, "is no version of the model", "see `python -m batch models list`")


class PrunedVersion(ConfigurationError):
    """The artifact was made, and its files have been removed since."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(
            version,
            "was pruned: only its record is left",
            "promote one that is on disk (`python -m batch models list`), or run `python -m batch daily` for a new one",
        )


class NothingBefore(ConfigurationError):
    """There is no version to go back to."""

    def __init__(self, current: str | None) -> None:
        super().__init__(
            "models",
            f"nothing was served before {current}" if current else "nothing is served yet",
            "name the version that is wanted: `python -m batch models promote VERSION`",
        )


def versions_on_disk(artifacts_dir: Path) -> list[str]:
    """Every artifact that is complete, the newest first."""
    if not artifacts_dir.is_dir():
        return []
    complete = (path.name for path in artifacts_dir.iterdir() if (path / MANIFEST).exists())
    return sorted((name for name in complete if not name.startswith(".")), reverse=True)


def switch_to(artifacts_dir: Path, version: str) -> str | None:
    """Serve this version from now on; returns the one that was served until now.

    Raises:
        UnknownVersion: there is no such folder.
        BrokenArtifact: a file is not the one that the manifest names, or it was made for another catalogue.
    """
    with _only_one(artifacts_dir):
        return _switch(artifacts_dir, version)


def roll_back(artifacts_dir: Path) -> tuple[str, str]:
    """Serve again what was served before; returns that version, and the one that it replaces.

    A second time it comes back to where it was: the version that was left is then the one before.

    Raises:
        NothingBefore: no other version was served.
        UnknownVersion, BrokenArtifact: as `switch_to`.
    """
    with _only_one(artifacts_dir):
        current, before = current_version(artifacts_dir), previous_version(artifacts_dir)
        if before is None or current is None:
            raise NothingBefore(current)
        _switch(artifacts_dir, before)
        return before, current


def servable(artifacts_dir: Path) -> Artifact | None:
    """The current artifact; None when there is none, or one that every server refuses."""
    try:
        return Artifact.current(artifacts_dir)
    except BrokenArtifact:
        return None


def _switch(artifacts_dir: Path, version: str) -> str | None:
    if version not in versions_on_disk(artifacts_dir):
        raise UnknownVersion(version)
    Artifact.load(artifacts_dir / version)  # what a server would refuse, is refused here and told to who asks
    before = current_version(artifacts_dir)
    point_to(artifacts_dir, version)
    return before


@contextmanager
def _only_one(artifacts_dir: Path) -> Iterator[None]:
    """Two at once would forget what was served before. It is held for a moment, so the second one waits."""
    artifacts_dir.mkdir(parents=True, exist_ok=True)
    with (artifacts_dir / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
