from __future__ import annotations

import os
from pathlib import Path

from speed.job.checkpoints import StateFolders, choose, forget_others, keep_newest, newest_first


def folders_in(folder: Path) -> StateFolders:
    return StateFolders(folder / "checkpoints", folder / "savepoints")


def state(folder: Path, name: str, *, at_s: int, finished: bool = True) -> Path:
    path = folder / name
    path.mkdir(parents=True)
    if finished:
        (path / "_metadata").write_bytes(b"whole")
        os.utime(path / "_metadata", (at_s, at_s))
    return path


def test_the_newest_is_taken_whatever_its_number_and_run(tmp_path: Path) -> None:
    older = state(tmp_path, "checkpoints/run-a/chk-90", at_s=100)
    newer = state(tmp_path, "checkpoints/run-b/chk-2", at_s=200)
    assert newest_first(folders_in(tmp_path)) == [newer, older]


def test_a_savepoint_counts_by_its_age_like_a_checkpoint(tmp_path: Path) -> None:
    oldest = state(tmp_path, "savepoints/savepoint-a-1", at_s=50)
    older = state(tmp_path, "checkpoints/run-a/chk-90", at_s=100)
    newest = state(tmp_path, "savepoints/savepoint-b-1", at_s=200)
    assert newest_first(folders_in(tmp_path)) == [newest, older, oldest]


def test_an_unfinished_checkpoint_is_passed_over(tmp_path: Path) -> None:
    finished = state(tmp_path, "checkpoints/run/chk-1", at_s=100)
    state(tmp_path, "checkpoints/run/chk-2", at_s=200, finished=False)
    assert choose(folders_in(tmp_path), lambda _: True) == finished


def test_a_broken_checkpoint_is_passed_over(tmp_path: Path) -> None:
    whole = state(tmp_path, "checkpoints/run/chk-1", at_s=100)
    broken = state(tmp_path, "checkpoints/run/chk-2", at_s=200)
    assert choose(folders_in(tmp_path), lambda path: path != broken) == whole


def test_without_a_checkpoint_there_is_nothing_to_resume_from(tmp_path: Path) -> None:
    assert choose(folders_in(tmp_path / "never"), lambda _: True) is None


def test_other_runs_are_forgotten_and_the_siblings_of_the_chosen_stay(tmp_path: Path) -> None:
    state(tmp_path, "checkpoints/run-a/chk-1", at_s=100)
    sibling = state(tmp_path, "checkpoints/run-b/chk-1", at_s=150)
    chosen = state(tmp_path, "checkpoints/run-b/chk-2", at_s=200)
    (tmp_path / "checkpoints" / "identity.json").touch()
    forget_others(folders_in(tmp_path), chosen)
    assert newest_first(folders_in(tmp_path)) == [chosen, sibling]


def test_with_a_savepoint_chosen_the_newest_run_of_checkpoints_and_all_savepoints_stay(tmp_path: Path) -> None:
    state(tmp_path, "checkpoints/run-a/chk-1", at_s=100)
    kept = state(tmp_path, "checkpoints/run-b/chk-1", at_s=150)
    older = state(tmp_path, "savepoints/savepoint-a", at_s=120)
    chosen = state(tmp_path, "savepoints/savepoint-b", at_s=200)
    forget_others(folders_in(tmp_path), chosen)
    assert newest_first(folders_in(tmp_path)) == [chosen, kept, older]


def test_only_the_newest_few_are_kept(tmp_path: Path) -> None:
    for at_s in (3, 1, 2):
        path = state(tmp_path, f"savepoint-{at_s}", at_s=at_s)
        os.utime(path, (at_s, at_s))
    (tmp_path / "identity.json").touch()
    gone = keep_newest(tmp_path, "savepoint-*", 2)
    assert [path.name for path in gone] == ["savepoint-1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["identity.json", "savepoint-2", "savepoint-3"]
