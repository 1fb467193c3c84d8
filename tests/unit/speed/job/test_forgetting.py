from __future__ import annotations

from pathlib import Path

from speed.job.checkpoints import StateFolders
from speed.job.forgetting import ASIDE_MAX, ask_to_forget, forget_when_asked, is_asked_to_forget


def folders_in(folder: Path) -> StateFolders:
    return StateFolders(folder / "checkpoints", folder / "savepoints")


def test_nothing_is_forgotten_unasked(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    assert forget_when_asked(folders_in(tmp_path), 1) is None
    assert (tmp_path / "checkpoints").exists()


def test_a_request_is_honoured_once_and_all_state_is_put_aside(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    for folder in folders:
        folder.mkdir()
        (folder / "identity.json").touch()
    ask_to_forget(folders)
    assert is_asked_to_forget(folders)
    aside = forget_when_asked(folders, 1)
    assert aside is not None
    assert sorted(str(path.relative_to(aside)) for path in aside.rglob("*.json")) == [
        "checkpoints/identity.json",
        "savepoints/identity.json",
    ]
    assert not is_asked_to_forget(folders)
    assert not any(folder.exists() for folder in folders)


def test_a_request_without_any_state_is_honoured_too(tmp_path: Path) -> None:
    folders = folders_in(tmp_path / "flink")
    ask_to_forget(folders)
    assert forget_when_asked(folders, 1) is None
    assert not is_asked_to_forget(folders)


def test_only_the_newest_few_forgotten_states_stay(tmp_path: Path) -> None:
    folders = folders_in(tmp_path)
    for now_ms in range(10, 10 + ASIDE_MAX + 3):
        folders.checkpoints.mkdir()
        ask_to_forget(folders)
        forget_when_asked(folders, now_ms)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aside-13", "aside-14"]
