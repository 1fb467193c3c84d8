from __future__ import annotations

import os
from pathlib import Path

from speed.job.checkpoints import choose, forget_others, newest_first


def checkpoint(folder: Path, name: str, *, at_s: int, finished: bool = True) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    if finished:
        (path / "_metadata").write_bytes(b"whole")
        os.utime(path / "_metadata", (at_s, at_s))
    return path


def test_the_newest_is_taken_whatever_its_number_and_run(tmp_path: Path) -> None:
    older = checkpoint(tmp_path, "run-a/chk-90", at_s=100)
    newer = checkpoint(tmp_path, "run-b/chk-2", at_s=200)
    assert newest_first(tmp_path) == [newer, older]


def test_an_unfinished_checkpoint_is_passed_over(tmp_path: Path) -> None:
    finished = checkpoint(tmp_path, "run/chk-1", at_s=100)
    checkpoint(tmp_path, "run/chk-2", at_s=200, finished=False)
    assert choose(tmp_path, lambda _: True) == finished


def test_a_broken_checkpoint_is_passed_over(tmp_path: Path) -> None:
    whole = checkpoint(tmp_path, "run/chk-1", at_s=100)
    broken = checkpoint(tmp_path, "run/chk-2", at_s=200)
    assert choose(tmp_path, lambda path: path != broken) == whole


def test_without_a_checkpoint_there_is_nothing_to_resume_from(tmp_path: Path) -> None:
    assert choose(tmp_path / "never", lambda _: True) is None


def test_other_runs_are_forgotten_and_the_siblings_of_the_chosen_stay(tmp_path: Path) -> None:
    checkpoint(tmp_path, "run-a/chk-1", at_s=100)
    sibling = checkpoint(tmp_path, "run-b/chk-1", at_s=150)
    chosen = checkpoint(tmp_path, "run-b/chk-2", at_s=200)
    forget_others(tmp_path, chosen)
    assert newest_first(tmp_path) == [chosen, sibling]
