"""Arrays come back from a mapped file as they were, and never as somebody else left them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.recommenders.stored import ALIGNMENT, Arrays, UnreadableModel, read_arrays, write_arrays

ARRAYS: Arrays = {
    "ids": np.arange(10, dtype=np.int32),
    "vectors": np.linspace(0, 1, 30, dtype=np.float32).reshape(10, 3),
    "nothing": np.empty((0, 3), np.float64),
    "flags": np.ones(7, np.bool_),
}


def test_arrays_come_back_aligned_and_without_being_copied(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a.npz", "kind", 1, ARRAYS)
    found = read_arrays(tmp_path / "a.npz", "kind", 1, ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].ctypes.data % ALIGNMENT == 0
        assert not found[name].flags.owndata
    with np.load(tmp_path / "a.npz") as plainly:
        np.testing.assert_array_equal(plainly["vectors"], ARRAYS["vectors"])


def test_equal_arrays_are_equal_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_arrays(tmp_path / name, "kind", 1, ARRAYS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_file_in_use_can_be_replaced_and_written_to_only_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, "kind", 1, ARRAYS)
    before = read_arrays(path, "kind", 1, ["ids"])["ids"]
    write_arrays(path, "kind", 1, {"ids": np.zeros(3, np.int32)})
    assert before.tolist() == ARRAYS["ids"].tolist()
    before[0] = 7
    assert read_arrays(path, "kind", 1, ["ids"])["ids"].tolist() == [0, 0, 0]


def test_a_file_of_an_earlier_release_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **of_kind_1())
    found = read_arrays(tmp_path / "a.npz", "kind", 1, ARRAYS)
    assert all(array.flags.aligned for array in found.values())
    np.testing.assert_array_equal(found["vectors"], ARRAYS["vectors"])


def test_what_is_cut_off_compressed_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, "kind", 1, ARRAYS)
    with pytest.raises(UnreadableModel, match="kind/1"):
        read_arrays(path, "kind", 2, ARRAYS)
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[:-40], b""):
        path.write_bytes(damaged)
        with pytest.raises(UnreadableModel):
            read_arrays(path, "kind", 1, ARRAYS)
    np.savez_compressed(path, **of_kind_1())
    with pytest.raises(UnreadableModel, match="compressed"):
        read_arrays(path, "kind", 1, ARRAYS)


def of_kind_1() -> dict[str, Any]:
    return {"__kind__": np.array("kind/1"), **ARRAYS}
