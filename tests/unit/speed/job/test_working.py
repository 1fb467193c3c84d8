"""The folder of a run, and what a run that was killed has left."""

from __future__ import annotations

from pathlib import Path

from speed.job.working import LOCK, working_folder


def test_it_is_there_while_the_run_is_and_gone_afterwards(tmp_path: Path) -> None:
    with working_folder(tmp_path / "working") as folder:
        (folder / "state").touch()
        assert folder.parent == tmp_path / "working"
    assert list((tmp_path / "working").iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    left = tmp_path / "run-of-the-dead"
    left.mkdir()
    (left / LOCK).touch()
    (left / "state").touch()
    with working_folder(tmp_path) as living, working_folder(tmp_path) as newest:
        assert not left.exists()
        assert living.exists()
        assert living != newest
