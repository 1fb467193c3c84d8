"""Arrays on disk: .npz without pickle, with a kind and a format number that are checked when read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.errors import ConsistencyError

Arrays = dict[str, npt.NDArray[Any]]


class UnreadableModel(ConsistencyError):
    """A model file is missing, damaged, or was written by another version of the code."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot read the model file {path}: {reason}; build the artifact again with this version")


def write_arrays(path: Path, kind: str, format_number: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays; `kind` and `format_number` must be given again to read them."""
    with path.open("wb") as file:
        np.savez(file, __kind__=np.array(f"{kind}/{format_number}"), **arrays)  # type: ignore[arg-type]


def read_arrays(path: Path, kind: str, format_number: int, names: Iterable[str]) -> Arrays:
    """Read the named arrays; raises `UnreadableModel`."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found = str(stored["__kind__"])
            if found != f"{kind}/{format_number}":
                raise UnreadableModel(path, f"it holds {found!r}, expected '{kind}/{format_number}'")
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UnreadableModel(path, str(error)) from error
