"""Switching: checked before, atomic, and it remembers what was served before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from batch.registry.switching import NothingBefore, UnknownVersion, roll_back, servable, switch_to, versions_on_disk
from batch.training.artifact import KEPT, prune
from domain.artifacts import BrokenArtifact, current_version, previous_version
from tests.declared import arm, as_file, experiment
from tests.published import publish, shelve


def test_the_version_that_was_served_before_is_remembered(tmp_path: Path) -> None:
    for version in ("v1", "v2", "v3"):
        shelve(tmp_path, version)
        switch_to(tmp_path, version)
    assert (current_version(tmp_path), previous_version(tmp_path)) == ("v3", "v2")


def test_rolling_back_serves_the_previous_one_and_twice_comes_back(tmp_path: Path) -> None:
    publish(tmp_path, "v1")
    publish(tmp_path, "v2")
    assert roll_back(tmp_path) == ("v1", "v2")
    assert roll_back(tmp_path) == ("v2", "v1")


def test_switching_to_the_current_one_forgets_nothing(tmp_path: Path) -> None:
    publish(tmp_path, "v1")
    publish(tmp_path, "v2")
    switch_to(tmp_path, "v2")
    assert previous_version(tmp_path) == "v1"


def test_there_is_nothing_to_go_back_to_before_the_second_one(tmp_path: Path) -> None:
    with pytest.raises(NothingBefore, match="nothing is served yet"):
        roll_back(tmp_path)
    publish(tmp_path, "v1")
    with pytest.raises(NothingBefore, match="before v1"):
        roll_back(tmp_path)


def test_what_a_server_would_refuse_is_refused_here_and_nothing_changes(tmp_path: Path) -> None:
    publish(tmp_path, "v1")
    (shelve(tmp_path, "v2") / "popularity.npz").write_bytes(b"")
    path = shelve(tmp_path, "v3") / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"catalogue_fingerprint": "0"}))
    with pytest.raises(BrokenArtifact, match=r"popularity\.npz"):
        switch_to(tmp_path, "v2")
    with pytest.raises(BrokenArtifact, match="another catalogue"):
        switch_to(tmp_path, "v3")
    with pytest.raises(UnknownVersion, match="models list"):
        switch_to(tmp_path, "v4")
    assert current_version(tmp_path) == "v1"


def test_a_current_one_that_no_server_takes_counts_as_none(tmp_path: Path) -> None:
    assert servable(tmp_path) is None
    folder = publish(tmp_path, "v1")
    assert servable(tmp_path) is not None
    (folder / "vocabulary.json").unlink()
    assert servable(tmp_path) is None


def test_pruning_keeps_the_newest_the_current_the_previous_one_and_those_of_experiments(tmp_path: Path) -> None:
    for number in range(KEPT + 4):
        shelve(tmp_path, f"v{number}")
    switch_to(tmp_path, "v0")
    switch_to(tmp_path, "v1")
    newest = [f"v{number}" for number in range(KEPT + 3, 3, -1)]
    file = tmp_path / "experiments.json"
    file.write_bytes(b"{")  # nobody can say what it needs
    prune(tmp_path, file)
    assert versions_on_disk(tmp_path) == [*newest, "v3", "v2", "v1", "v0"]
    arms = [arm("control", 0.5), arm("older", 0.5, model="v2")]
    file.write_bytes(as_file(experiment(arms=arms)))
    prune(tmp_path, file)
    assert versions_on_disk(tmp_path) == [*newest, "v2", "v1", "v0"]
    file.unlink()
    prune(tmp_path, file)
    assert versions_on_disk(tmp_path) == [*newest, "v1", "v0"]
