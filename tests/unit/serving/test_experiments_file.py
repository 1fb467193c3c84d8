"""The file of experiments: taken when it changes, as a whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.experiments.declaration import BadExperiments
from serving.adapters.experiments_file import ExperimentsWatcher, read_experiments
from serving.pipeline.retrieve import Model
from tests.declared import arm, as_file, experiment
from tests.unit.serving.fakes import FakeModel


class Loader:
    """Loads fake models, and counts; the one called `broken` cannot be loaded."""

    def __init__(self) -> None:
        self.loaded: list[str] = []

    def __call__(self, folder: Path) -> Model:
        self.loaded.append(folder.name)
        if folder.name == "broken":
            raise ValueError("not a model")
        return FakeModel(version=folder.name)


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "experiments.json"


@pytest.fixture
def watcher(path: Path, tmp_path: Path, loader: Loader) -> ExperimentsWatcher:
    return ExperimentsWatcher(path, tmp_path / "artifacts", loader)


def of_model(version: str) -> bytes:
    return as_file(experiment(arms=[arm("control", 0.5), arm("treatment", 0.5, model=version)]))


def publish(tmp_path: Path, version: str) -> None:
    folder = tmp_path / "artifacts" / version
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()


def rewrite(path: Path, content: bytes | None) -> None:
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)


async def test_without_a_file_nobody_is_in_an_experiment(watcher: ExperimentsWatcher) -> None:
    await watcher.look()
    assert (watcher.names, watcher.problem) == ((), None)
    assert watcher.assign("ada").arms == ()


async def test_a_changed_file_is_taken_and_a_deleted_one_ends_all_experiments(
    watcher: ExperimentsWatcher, path: Path
) -> None:
    rewrite(path, as_file(experiment("one")))
    await watcher.look()
    assert [each.experiment for each in watcher.assign("ada").arms] == ["one"]
    rewrite(path, as_file(experiment("two")))
    await watcher.look()
    assert watcher.names == ("two",)
    rewrite(path, None)
    await watcher.look()
    assert watcher.assign("ada").arms == ()


async def test_a_refused_file_changes_nothing_and_is_named(watcher: ExperimentsWatcher, path: Path) -> None:
    good = as_file(experiment("one"))
    rewrite(path, good)
    await watcher.look()
    rewrite(path, as_file(experiment("one", arms=[arm("a", 0.5), arm("b", 0.4)])))
    await watcher.look()
    assert watcher.names == ("one",)
    assert "experiments.json at one.arms: the shares sum to 0.9" in str(watcher.problem)
    rewrite(path, good)
    await watcher.look()
    assert watcher.problem is None


async def test_an_experiment_begins_when_its_model_is_there(
    watcher: ExperimentsWatcher, path: Path, tmp_path: Path, loader: Loader
) -> None:
    publish(tmp_path, "m1")
    rewrite(path, of_model("m2"))
    await watcher.look()
    assert not watcher.names
    assert "there is no model m2" in str(watcher.problem)
    assert "name one of m1" in str(watcher.problem)
    publish(tmp_path, "m2")
    await watcher.look()
    model = watcher.model("m2")
    assert model is not None
    assert model.version == "m2"
    assert watcher.names == ("weights",)


async def test_a_model_that_is_held_is_not_loaded_again(
    watcher: ExperimentsWatcher, path: Path, tmp_path: Path, loader: Loader
) -> None:
    publish(tmp_path, "m1")
    for salt in ("a", "b"):
        rewrite(path, of_model("m1").replace(b'"weights"', f'"{salt}"'.encode()))
        await watcher.look()
    assert watcher.names == ("b",)
    assert loader.loaded == ["m1"]
    rewrite(path, as_file())
    await watcher.look()
    assert watcher.model("m1") is None, "and given back when no arm asks for it"


async def test_a_model_that_cannot_be_loaded_is_tried_once(
    watcher: ExperimentsWatcher, path: Path, tmp_path: Path, loader: Loader
) -> None:
    publish(tmp_path, "broken")
    rewrite(path, of_model("broken"))
    for _ in range(3):
        await watcher.look()
    assert loader.loaded == ["broken"]
    assert watcher.problem == "not a model"


def test_a_command_reads_the_file_or_says_what_is_wrong(path: Path) -> None:
    assert read_experiments(path).experiments == ()
    path.write_text("{")
    with pytest.raises(BadExperiments, match=r"experiments\.json: not JSON"):
        read_experiments(path)
