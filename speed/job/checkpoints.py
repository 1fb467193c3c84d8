"""Which state to resume from: the newest checkpoint or savepoint that is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from speed.job.settings import JobSettings

METADATA: Final = "_metadata"
SAVEPOINTS: Final = "savepoint-*"
INCREMENTAL: Final = "org.apache.flink.runtime.state.IncrementalRemoteKeyedStateHandle"


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
    """Whether Flink can read the checkpoint's metadata and all its files are whole: a power cut may leave a part."""
    from py4j.protocol import Py4JJavaError
    from pyflink.java_gateway import get_gateway

    java = get_gateway().jvm
    metadata = str(checkpoint / METADATA)
    loader = java.java.lang.Thread.currentThread().getContextClassLoader()
    stream = java.java.io.DataInputStream(java.java.io.FileInputStream(metadata))
    try:
        checkpoints = java.org.apache.flink.runtime.checkpoint.Checkpoints
        return all(_is_whole(handle) for handle in _files(checkpoints.loadCheckpointMetadata(stream, loader, metadata)))
    except Py4JJavaError:
        return False
    finally:
        stream.close()


def _files(metadata: Any) -> Iterator[Any]:
    """Flink's handles on the keyed and operator states that a checkpoint's metadata names."""
    for operator in _listed(metadata.getOperatorStates()):
        for subtask in _listed(operator.getStates()):
            for states in (subtask.getManagedKeyedState(), subtask.getRawKeyedState()):
                for state in _listed(states):
                    yield from _of_keyed(state)
            for state in _listed(subtask.getManagedOperatorState()):
                yield state.getDelegateStateHandle()


def _of_keyed(state: Any) -> Iterator[Any]:
    """One file, or the many of an incremental checkpoint, some of which earlier ones of the same run have written."""
    from pyflink.util.java_utils import is_instance_of

    if not is_instance_of(state, INCREMENTAL):
        yield state.getDelegateStateHandle()
        return
    yield state.getMetaDataStateHandle()
    for files in (state.getSharedState(), state.getPrivateState()):
        yield from (file.getHandle() for file in _listed(files))


def _listed(collection: Any) -> Any:
    """A Java collection as one that Python can iterate over."""
    from pyflink.java_gateway import get_gateway

    return get_gateway().jvm.java.util.ArrayList(collection)


def _is_whole(handle: Any) -> bool:
    """Whether the file of a handle has its size; a small state has none, it lies in the metadata."""
    where = handle.maybeGetPath()
    if not where.isPresent():
        return True
    path = Path(where.get().getPath())
    return path.is_file() and path.stat().st_size == handle.getStateSize()
