"""Arrays on disk: .npz without pickle, with a kind and a format number that are checked when read.

Each array begins at a multiple of 64 bytes and is not compressed, so a reader maps the file into memory instead of
reading it: the processes of a server share one copy, and start without waiting for it. `numpy.load` reads it as well.
"""

from __future__ import annotations

import io
import mmap
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.errors import ConsistencyError

Arrays = dict[str, npt.NDArray[Any]]

ALIGNMENT: Final = 64
_KIND: Final = "__kind__"
_LOCAL_HEADER: Final = 30
"""Bytes of a zip's local header before the name and the extra field."""
_NPY_HEADER_MAX: Final = 65_536
_PADDING_ID: Final = b"\x46\x54"
_PADDING_HEAD: Final = 4


class UnreadableModel(ConsistencyError):
    """A model file is missing, damaged, or was written by another version of the code."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"cannot read the model file {path}: {reason}; build the artifact again with this version")


def write_arrays(path: Path, kind: str, format_number: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write named arrays; `kind` and `format_number` must be given again to read them. Equal arrays, equal bytes.

    A file that is there is replaced and not written over: somebody may have it in memory.
    """
    waiting = path.with_name(f".{path.name}")
    with waiting.open("wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as stored:
        for name, array in {_KIND: np.array(f"{kind}/{format_number}"), **arrays}.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.extra = _padding(file.tell() + _LOCAL_HEADER + len(entry.filename))
            entry.file_size = array.nbytes + _NPY_HEADER_MAX  # beyond 2 GiB the zip's header has another form
            with stored.open(entry, "w", force_zip64=False) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
    waiting.replace(path)


def read_arrays(path: Path, kind: str, format_number: int, names: Iterable[str]) -> Arrays:
    """Map the named arrays into memory; writing to them changes no file. Raises `UnreadableModel`."""
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as stored:
            found = str(np.lib.format.read_array(io.BytesIO(stored.read(f"{_KIND}.npy")), allow_pickle=False))
            if found != f"{kind}/{format_number}":
                raise UnreadableModel(path, f"it holds {found!r}, expected '{kind}/{format_number}'")
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            np.frombuffer(mapped, np.uint8)[:: mmap.PAGESIZE].max()  # pages are found here, and not by a visitor
            return {name: _mapped(mapped, stored, name) for name in names}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UnreadableModel(path, str(error)) from error


def _padding(at: int) -> bytes:
    """An extra field that makes what begins at `at` begin at a multiple of `ALIGNMENT`."""
    missing = (-at - _PADDING_HEAD) % ALIGNMENT
    return _PADDING_ID + missing.to_bytes(2, "little") + bytes(missing)


def _mapped(mapped: mmap.mmap, stored: zipfile.ZipFile, name: str) -> npt.NDArray[Any]:
    entry = stored.getinfo(f"{name}.npy")
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed")
    head = mapped[entry.header_offset : entry.header_offset + _LOCAL_HEADER]
    lengths = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    mapped.seek(entry.header_offset + _LOCAL_HEADER + lengths)
    version = np.lib.format.read_magic(mapped)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, dtype = read_header(mapped)
    if dtype.hasobject or is_fortran:
        raise ValueError(f"{name} is no plain array")
    count = int(np.prod(shape))
    if mapped.tell() + count * dtype.itemsize > len(mapped):
        raise ValueError(f"{name} is cut off")
    array = np.frombuffer(mapped, dtype, count, mapped.tell()).reshape(shape)
    return array if array.flags.aligned else array.copy()  # written by an earlier release
