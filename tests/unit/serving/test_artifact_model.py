"""The artifact as a model, and its swap."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.adapters.artifact_model import ArtifactModel, ArtifactWatcher
from tests.published import publish


@pytest.fixture
def watcher(tmp_path: Path) -> ArtifactWatcher:
    return ArtifactWatcher(tmp_path)


async def model_of(watcher: ArtifactWatcher) -> ArtifactModel:
    await watcher.look()
    model = watcher.current()
    assert model is not None
    return model


async def test_before_the_first_artifact_there_is_no_model(watcher: ArtifactWatcher) -> None:
    await watcher.look()
    assert watcher.current() is None
    assert watcher.has_looked


async def test_a_model_speaks_item_ids(watcher: ArtifactWatcher, tmp_path: Path) -> None:
    publish(tmp_path, "v1")
    model = await model_of(watcher)
    assert model.version == "v1"
    assert [item for item, _ in model.rank(["alien", "unheard"], 3)] == ["alien", "aliens", "dune"]
    assert "alien" not in [item for item, _ in model.similar("alien", 5)]
    assert model.similar("unheard", 5) == []
    assert model.popular(1)[0][0] == "alien"
    assert model.knows("heat")
    assert not model.knows("unheard")


async def test_a_cited_item_is_one_without_which_the_score_is_lower(watcher: ArtifactWatcher, tmp_path: Path) -> None:
    publish(tmp_path, "v1")
    model = await model_of(watcher)
    session = ["heat", "alien"]
    candidates = ["aliens", "ronin", "unheard"]
    cited = model.because(session, candidates)
    assert cited == ["alien", "heat", None]
    with_all = dict(model.rank(session, 10))
    for candidate, cause in zip(candidates[:2], cited[:2], strict=True):
        without = dict(model.rank([item for item in session if item != cause], 10))
        assert without.get(candidate, 0.0) < with_all[candidate]


async def test_the_instant_tier_ranks_and_explains_by_similar_sessions_alone(
    watcher: ArtifactWatcher, tmp_path: Path
) -> None:
    publish(tmp_path, "v1")
    instant = (await model_of(watcher)).instant
    assert instant.version == "v1"
    session = ["heat", "alien"]
    ranked = dict(instant.rank(session, 10))
    cited = dict(zip(ranked, instant.because(session, list(ranked)), strict=True))
    assert cited["aliens"] == "alien"
    for candidate, cause in cited.items():
        if cause is not None:
            rest = [item for item in session if item != cause]
            assert instant.scores(rest, [candidate])[candidate] < ranked[candidate]


async def test_what_items_are_about_reaches_those_that_nobody_visited(watcher: ArtifactWatcher, tmp_path: Path) -> None:
    about = {
        "alien": "space",
        "dune": "space",
        "heat": "crime",
        "arrival": "space",
        "ronin": "crime",
        "jackie": "crime",
    }
    publish(tmp_path, "v1", categories=about)
    model = await model_of(watcher)
    assert [item for item, _ in model.new_alike(["heat", "alien", "dune"], 5)] == ["arrival", "jackie"]
    assert model.new_alike(["unheard"], 5) == []
    assert {item for item, _ in model.similar("arrival", 5)} == {"alien", "dune"}
    assert {item for item, _ in model.similar("heat", 5)} == {"ronin", "dune", "alien"}
    assert {item for item, _ in model.to_taste(["alien"], 3)} == {"alien", "dune", "arrival"}


async def test_an_artifact_without_catalogue_and_histories_proposes_nothing_by_them(
    watcher: ArtifactWatcher, tmp_path: Path
) -> None:
    publish(tmp_path, "v1")
    model = await model_of(watcher)
    assert model.new_alike(["alien"], 5) == model.to_taste(["alien"], 5) == []


async def test_another_version_takes_the_place_of_the_old_one(watcher: ArtifactWatcher, tmp_path: Path) -> None:
    publish(tmp_path, "v1")
    await watcher.look()
    publish(tmp_path, "v2")
    assert (await model_of(watcher)).version == "v2"


async def test_a_broken_artifact_is_refused_and_the_old_one_stays(watcher: ArtifactWatcher, tmp_path: Path) -> None:
    publish(tmp_path, "v1")
    await watcher.look()
    broken = publish(tmp_path, "v2") / "popularity.npz"
    broken.write_bytes(broken.read_bytes()[:-1])
    assert (await model_of(watcher)).version == "v1"
    assert watcher.problem is not None
    assert "v2" in watcher.problem


async def test_a_good_artifact_after_a_broken_one_is_taken(watcher: ArtifactWatcher, tmp_path: Path) -> None:
    (publish(tmp_path, "v1") / "vocabulary.json").unlink()
    await watcher.look()
    publish(tmp_path, "v2")
    assert (await model_of(watcher)).version == "v2"
    assert watcher.problem is None
