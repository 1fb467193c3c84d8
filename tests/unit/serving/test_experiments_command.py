"""What `python -m serving experiments list` tells."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from domain.experiments.declaration import BadExperiments
from infra.settings import Settings
from serving import experiments_command
from tests.declared import arm, as_file, experiment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    treatment = arm("treatment", 0.5, weights={"trending": 0.5}, policy={"category_cap": 3})
    arms = [arm("control", 0.5), treatment]
    one = experiment("trend", traffic=[0.2, 1.0], arms=arms, note="is the trend worth more?")
    (tmp_path / "experiments.json").write_bytes(as_file(one, experiment("other", layer="pages")))
    return Settings(state_dir=tmp_path)


def told(settings: Settings, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = argparse.ArgumentParser()
    experiments_command.add_arguments(parser)
    assert experiments_command.run(settings, parser.parse_args(["list", *arguments]), []) == 0
    return capsys.readouterr().out


def test_every_experiment_is_listed_with_what_its_arms_change(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    said = told(settings, capsys)
    assert "trend: 0.8 of the layer slates, from 0.2 to 1" in said
    assert "is the trend worth more?" in said
    assert "control     50.0%  as it is" in said
    assert 'treatment   50.0%  weights {"trending":0.5}, policy {"category_cap":3}' in said


def test_as_json_it_is_a_file_again(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    said = told(settings, capsys, "--json")
    settings.experiments_path.write_text(said)
    assert told(settings, capsys, "--json") == said


def test_the_arms_of_one_visitor_are_told(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    arms = json.loads(told(settings, capsys, "--visitor", "ada", "--json"))
    assert [one["experiment"] for one in arms] == ["other", "trend"]
    assert f"trend: {arms[1]['arm']} (50.0%)" in told(settings, capsys, "--visitor", "ada")


def test_without_a_file_there_are_none_and_a_wrong_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings(experiments_file=tmp_path / "mine.json")
    assert told(settings, capsys) == "no experiments\n"
    assert "in no experiment" in told(settings, capsys, "--visitor", "ada")
    (tmp_path / "mine.json").write_text("[]")
    with pytest.raises(BadExperiments, match=r"mine\.json"):
        told(settings, capsys)
