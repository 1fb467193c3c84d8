"""The folder in which a run keeps what only it needs: a process that was killed could not clean up after itself."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

RUN: Final = "run-"
LOCK: Final = "lock"


@contextmanager
def working_folder(parent: Path) -> Iterator[Path]:
    """A new folder, gone afterwards. Those of runs that have died before are removed; a lock tells who lives."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{RUN}*"):
        _remove_if_abandoned(left)
    folder = Path(tempfile.mkdtemp(prefix=RUN, dir=parent))
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        with (folder / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    except FileNotFoundError:  # it died, or is about to make its lock
        return
