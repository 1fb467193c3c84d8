"""Artifacts: what is loaded is what was packed, or an error that names the difference."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from domain import artifacts
from domain.artifacts import Artifact, BrokenArtifact, Manifest, catalogue_fingerprint, digest_of, write_manifest
from domain.recommenders.popularity import Popularity
from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary
from tests.published import neighbours_alone, shelve


def packed(folder: Path, *, items: int = 3, fingerprint: str | None = None) -> Path:
    folder.mkdir(parents=True)
    Vocabulary(["a", "b", "c"]).save(folder)
    neighbours_alone(SessionLog.of([(1, [0, 1]), (2, [1, 2])]), 3).save(folder)
    Popularity(np.arange(items)).save(folder)
    files = {path.name: digest_of(path) for path in folder.iterdir()}
    fingerprint = fingerprint or catalogue_fingerprint()
    write_manifest(folder, Manifest(folder.name, 1, 2, 3, fingerprint, files, {"hr20": 0.5}, {"items": 3}))
    return folder


def test_the_current_artifact_is_the_one_that_was_pointed_to(tmp_path: Path) -> None:
    assert Artifact.current(tmp_path) is None
    for version in ("v1", "v2"):
        packed(tmp_path / version)
        artifacts.point_to(tmp_path, version)
    found = Artifact.current(tmp_path)
    assert found is not None
    assert (found.version, found.manifest.metrics) == ("v2", {"hr20": 0.5})
    assert len(found.vocabulary) == found.model.items_count == len(found.popularity.counts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["current", "v1", "v2"]


@pytest.mark.parametrize(
    "name", ["vocabulary.json", "popularity.npz", "session_index.npz", "fusion.json", "covisitation.npz"]
)
def test_a_changed_or_missing_file_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    folder = packed(tmp_path / "v1")
    with (folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(BrokenArtifact, match=name):
        Artifact.load(folder)
    (folder / name).unlink()
    with pytest.raises(BrokenArtifact, match=name):
        Artifact.load(folder)


def test_another_catalogue_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match="another catalogue"):
        Artifact.load(packed(tmp_path / "v1", fingerprint="0"))


def test_models_over_different_vocabularies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match="different numbers of items"):
        Artifact.load(packed(tmp_path / "v1", items=4))


def test_what_may_be_absent_is_checked_when_it_is_there(tmp_path: Path) -> None:
    bare = Artifact.load(packed(tmp_path / "v1"))
    assert (bare.content, bare.taste) == (None, None)
    shelve(tmp_path, "v2", categories={"alien": "space"})
    whole = Artifact.load(tmp_path / "v2")
    assert whole.content is not None
    assert whole.taste is not None
    assert whole.content.items_count == whole.taste.items_count == len(whole.vocabulary)
    (tmp_path / "v2" / "long_term_taste.json").unlink()
    with pytest.raises(BrokenArtifact, match="long_term_taste"):
        Artifact.load(tmp_path / "v2")


def test_a_pointer_to_nothing_is_refused_with_the_remedy(tmp_path: Path) -> None:
    artifacts.point_to(tmp_path, "gone")
    with pytest.raises(BrokenArtifact, match="batch daily --fresh"):
        Artifact.current(tmp_path)


def test_a_manifest_says_nothing_unknown(tmp_path: Path) -> None:
    folder = packed(tmp_path / "v1")
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(msgspec.json.encode(manifest | {"surprise": 1}))
    with pytest.raises(BrokenArtifact, match="surprise"):
        Artifact.load(folder)


def test_the_version_before_is_remembered_and_found_again(tmp_path: Path) -> None:
    assert artifacts.previous_version(tmp_path) is None
    for version in ("v1", "v2", "v2"):
        artifacts.point_to(tmp_path, version)
    assert (artifacts.current_version(tmp_path), artifacts.previous_version(tmp_path)) == ("v2", "v1")


def test_the_cutoff_of_the_rows_does_not_depend_on_the_artifact_that_is_served(tmp_path: Path) -> None:
    assert artifacts.published_cutoff_ms(tmp_path) is None
    packed(tmp_path / "v1")
    artifacts.point_to(tmp_path, "v1")
    assert artifacts.published_cutoff_ms(tmp_path) == 2  # as an earlier release left it
    artifacts.cover(tmp_path, 7)
    assert artifacts.published_cutoff_ms(tmp_path) == 7
    (tmp_path / artifacts.COVERED).write_text("soon")
    with pytest.raises(BrokenArtifact, match="covered"):
        artifacts.published_cutoff_ms(tmp_path)
