"""Giving up the job's state on purpose: it is put aside, not deleted, and the job then starts from the log.

While the job runs its state cannot be moved away under it. So whoever wants it forgotten leaves a request, and the
next start honours it before it looks for a state; a request survives whatever happens in between.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from speed.job.checkpoints import StateFolders, keep_newest

REQUEST: Final = "forget-requested"
ASIDE: Final = "aside-"
ASIDE_MAX: Final = 2
"""So many states that were given up stay, for a look back."""


def request_path(folders: StateFolders) -> Path:
    """Where a request to forget lies."""
    return folders.checkpoints.parent / REQUEST


def ask_to_forget(folders: StateFolders) -> None:
    """Let the next start of the job forget all its state."""
    path = request_path(folders)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def is_asked_to_forget(folders: StateFolders) -> bool:
    """Whether a request waits for the next start."""
    return request_path(folders).exists()


def forget_when_asked(folders: StateFolders, now_ms: int) -> Path | None:
    """Honour a request; returns where the state is now, None without a request or without a state."""
    if not is_asked_to_forget(folders):
        return None
    aside = set_aside(folders, now_ms)
    request_path(folders).unlink()
    return aside


def newest_aside(folders: StateFolders) -> Path | None:
    """The state that was given up last."""
    found = folders.checkpoints.parent.glob(f"{ASIDE}*")
    return max(found, key=lambda path: int(path.name.removeprefix(ASIDE)), default=None)


def set_aside(folders: StateFolders, now_ms: int, *, with_savepoints: bool = True) -> Path | None:
    """Move checkpoints, savepoints and what identifies them aside; keeps the newest few such folders."""
    moved = folders if with_savepoints else (folders.checkpoints,)
    there = [folder for folder in moved if folder.exists()]
    if not there:
        return None
    aside = folders.checkpoints.parent / f"{ASIDE}{now_ms}"
    aside.mkdir(exist_ok=True)
    for folder in there:
        folder.rename(aside / folder.name)
    keep_newest(aside.parent, f"{ASIDE}*", ASIDE_MAX)
    return aside
