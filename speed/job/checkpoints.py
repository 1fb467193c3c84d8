"""Which state to resume from: the newest checkpoint or savepoint that is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from speed.job.settings import JobSettings

METADATA: Final = "_metadata"
SAVEPOINTS: Final = "savepoint-*"


@dataclass(frozen=True, slots=True)
class StateFolders:
    """Where the job's state outlives it: Flink owns the checkpoints, the operator the savepoints."""

    checkpoints: Path
    savepoints: Path

    @classmethod
    def of(cls, settings: JobSettings) -> StateFolders:
        """The folders that the job is told; without one for savepoints it is beside the checkpoints."""
        checkpoints = Path(settings.checkpoint_dir)
        savepoints = settings.savepoint_dir
        return cls(checkpoints, checkpoints.parent / "savepoints" if savepoints is None else Path(savepoints))

    def __iter__(self) -> Iterator[Path]:
        return iter((self.checkpoints, self.savepoints))


def newest_first(folders: StateFolders) -> list[Path]:
    """Finished checkpoints (`<run>/chk-<n>`) and savepoints (`savepoint-…`), newest first."""
    checkpoints = folders.checkpoints.glob(f"*/chk-*/{METADATA}")
    savepoints = folders.savepoints.glob(f"{SAVEPOINTS}/{METADATA}")
    found = [path for path in (*checkpoints, *savepoints) if path.is_file()]
    return [metadata.parent for metadata in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def choose(folders: StateFolders, is_readable: Callable[[Path], bool]) -> Path | None:
    """The newest state that can be read; None when there is none, and the job starts from the log."""
    return next((state for state in newest_first(folders) if is_readable(state)), None)


def forget_others(folders: StateFolders, chosen: Path) -> None:
    """Remove the checkpoints that earlier runs left, but for the newest run: restarts must not fill the disk.

    Savepoints stay: whoever makes one lets the oldest go.
    """
    checkpoints = [state for state in (chosen, *newest_first(folders)) if state.parent.parent == folders.checkpoints]
    for run in folders.checkpoints.iterdir():
        if checkpoints and run.is_dir() and run != checkpoints[0].parent:
            shutil.rmtree(run, ignore_errors=True)


def keep_newest(folder: Path, pattern: str, count: int) -> list[Path]:
    """Remove all but the newest `count` folders that match; returns those that are gone."""
    found = sorted(folder.glob(pattern), key=lambda path: (path.stat().st_mtime_ns, path.name), reverse=True)
    for path in found[count:]:
        shutil.rmtree(path, ignore_errors=True)
    return found[count:]


def is_readable(checkpoint: Path) -> bool:
    """Whether Flink can read the checkpoint's metadata: a power cut may leave a part of it."""
    from py4j.protocol import Py4JJavaError
    from pyflink.java_gateway import get_gateway

    java = get_gateway().jvm
    metadata = str(checkpoint / METADATA)
    loader = java.java.lang.Thread.currentThread().getContextClassLoader()
    stream = java.java.io.DataInputStream(java.java.io.FileInputStream(metadata))
    try:
        java.org.apache.flink.runtime.checkpoint.Checkpoints.loadCheckpointMetadata(stream, loader, metadata)
    except Py4JJavaError:
        return False
    finally:
        stream.close()
    return True
