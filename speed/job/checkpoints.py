"""Which checkpoint to resume from: the newest that is whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path


def newest_first(folder: Path) -> list[Path]:
    """The checkpoints under `<folder>/<job>/chk-<n>`, newest first; one is finished when it has its _metadata."""
    found = [metadata for metadata in folder.glob("*/chk-*/_metadata") if metadata.is_file()]
    return [metadata.parent for metadata in sorted(found, key=lambda path: path.stat().st_mtime_ns, reverse=True)]


def choose(folder: Path, is_readable: Callable[[Path], bool]) -> Path | None:
    """The newest checkpoint that can be read; None when there is none, and the job starts from the earliest record."""
    return next((checkpoint for checkpoint in newest_first(folder) if is_readable(checkpoint)), None)


def forget_others(folder: Path, chosen: Path) -> None:
    """Remove what earlier runs left, but for the run of the chosen checkpoint: restarts must not fill the disk."""
    for run in folder.iterdir():
        if run.is_dir() and run != chosen.parent:
            shutil.rmtree(run, ignore_errors=True)


def is_readable(checkpoint: Path) -> bool:
    """Whether Flink can read the checkpoint's metadata: a power cut may leave a part of it."""
    from py4j.protocol import Py4JJavaError
    from pyflink.java_gateway import get_gateway

    java = get_gateway().jvm
    metadata = str(checkpoint / "_metadata")
    loader = java.java.lang.Thread.currentThread().getContextClassLoader()
    stream = java.java.io.DataInputStream(java.java.io.FileInputStream(metadata))
    try:
        java.org.apache.flink.runtime.checkpoint.Checkpoints.loadCheckpointMetadata(stream, loader, metadata)
    except Py4JJavaError:
        return False
    finally:
        stream.close()
    return True
