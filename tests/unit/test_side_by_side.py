"""The groups in which all tests run: none is left out, none runs twice, and none that failed is overlooked."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from infra.settings import PROJECT_ROOT
from tests import side_by_side
from tests.side_by_side import FOLDERS, GROUPS, MAIN, SPEED, Group, Runner, asked_for, files_of, run_all


def test_every_test_file_is_in_one_group_of_the_main_or_the_speed_environment() -> None:
    there_are = {str(path.relative_to(PROJECT_ROOT)) for path in (PROJECT_ROOT / "tests").rglob("test_*.py")}
    of_main = Counter(file for group in GROUPS if group.python == MAIN for file in files_of(group))
    of_speed = {file for group in GROUPS if group.python == SPEED for file in files_of(group)}
    assert set(of_main.values()) == {1}
    assert of_main.keys() | of_speed == there_are
    assert of_speed - of_main.keys() == {file for file in there_are if file.startswith("tests/unit/speed/job/")}


def test_a_group_that_fails_is_told_and_the_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(side_by_side, "LOGS", tmp_path)
    monkeypatch.setattr(side_by_side, "pytest_of", lambda group: ("echo", f"tests of {group.name}"))
    sound = Group("sound", "unit")
    outcomes = run_all([replace(sound, name="broken", before=("false",)), sound], at_once=2)
    assert {outcome.group.name: outcome.code for outcome in outcomes} == {"broken": 1, "sound": 0}
    said = capsys.readouterr().out
    assert "broken             FAILED (1)" in said
    assert "sound              passed" in said
    assert (tmp_path / "sound.log").read_text() == "tests of sound\n"
    assert (tmp_path / "broken.log").read_text() == ""


def test_nothing_is_started_after_a_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "LOGS", tmp_path)
    runner = Runner()
    runner.stop()
    assert runner.run(GROUPS[0]).code == 130


def test_all_tiers_run_unless_some_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked_for([]).tier == list(FOLDERS)
    assert asked_for(["unit", "e2e"]).tier == ["unit", "e2e"]
    with pytest.raises(SystemExit):
        asked_for(["unti"])
    assert "there is no tier unti" in capsys.readouterr().err
