"""The line-up as one model: it answers as its fusion does, explains by leaving out, and comes back from disk alike."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from domain.recommenders.lineup.fusion import FILE, LINEAR, TREES, Fusion
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.lineup.striking import Struck
from domain.recommenders.protocol import Session
from domain.recommenders.stored import UnreadableModel
from tests.unit.domain.recommenders.lineup_models import SUM, grown, model, stumps


@pytest.mark.parametrize("struck", ["nothing", "current", "seen"])
def test_it_answers_as_its_fusion_does_and_never_what_is_struck(struck: Struck) -> None:
    fused = model(Fusion(LINEAR, struck, None, SUM))
    session = Session((3, 4, 3, 5))
    ranking = fused.rank(session, 10)
    queries = Queries.of([session.items])
    assert ranking.items.tolist() == fused.fusion.answer(fused.lineup, queries, 10)[0][: len(ranking)].tolist()
    assert (np.diff(ranking.scores) <= 0).all()
    assert (ranking.scores > 0).all()
    missing = {"nothing": set(), "current": {5}, "seen": {3, 4, 5}}[struck]
    assert not missing & set(ranking.items.tolist())


@pytest.mark.parametrize("by", ["vstan", "covisitation", "gru4rec"])
def test_one_source_alone_can_rank(by: str) -> None:
    ranking = model(Fusion(by, "seen")).rank(Session((12, 13)), 5)
    assert len(ranking) == 5
    assert (ranking.scores > 0).all()


def test_given_items_are_scored_as_they_are_ranked() -> None:
    fused = grown()
    session = Session((21, 22))
    ranking = fused.rank(session, 20)
    np.testing.assert_allclose(fused.scores(session, ranking.items[::-1].copy()), ranking.scores[::-1], rtol=1e-6)
    assert fused.scores(session, np.array([22], np.int32)).tolist() == [0.0]


def test_the_reason_is_an_item_without_which_the_score_falls() -> None:
    fused = grown()
    session = Session((1, 2, 41, 42))
    ranking = fused.rank(session, 10)
    causes = fused.because(session, ranking.items)
    assert any(cause is not None for cause in causes)
    for item, cause, score in zip(ranking.items, causes, ranking.scores, strict=True):
        if cause is None:
            continue
        assert cause // 10 == item // 10
        rest = Session(tuple(each for each in session.items if each != cause))
        assert fused.scores(rest, np.array([item], np.int32))[0] < score


def test_who_did_nothing_known_gets_nothing() -> None:
    fused = grown()
    for session in (Session(()), Session((-1, 999))):
        assert len(fused.rank(session, 10)) == 0
        assert fused.because(session, np.array([1], np.int32)) == [None]
        assert fused.scores(session, np.array([1], np.int32)).tolist() == [0.0]
    assert len(fused.rank(Session((1,)), 0)) == 0


@pytest.mark.parametrize("is_neural", [True, False])
def test_it_comes_back_from_disk_alike(tmp_path: Path, is_neural: bool) -> None:
    names = model(Fusion(LINEAR, "seen", None, SUM), is_neural=is_neural).features()
    fusion = Fusion(TREES, "seen", stumps(names, "covisitation_score_of_highest"), SUM)
    fused = model(fusion, is_neural=is_neural)
    fused.save(tmp_path)
    again = FusedModel.load(tmp_path)
    assert (again.neural is not None) is is_neural
    session = Session((33, 34))
    assert again.rank(session, 30).items.tolist() == fused.rank(session, 30).items.tolist()
    assert again.because(session, fused.rank(session, 5).items) == fused.because(session, fused.rank(session, 5).items)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    fused = grown()
    fused.save(tmp_path)
    ItemFacts({name: values[1:] for name, values in fused.lineup.facts.facts.items()}).save(tmp_path)
    with pytest.raises(UnreadableModel, match="different numbers of items"):
        FusedModel.load(tmp_path)
    fused.save(tmp_path)
    stumps(("other", *fused.features()[1:]), "other").save(tmp_path)
    with pytest.raises(UnreadableModel, match="other features"):
        FusedModel.load(tmp_path)
    (tmp_path / FILE).write_bytes(msgspec.json.encode({"by": "trees", "struck": "sometimes", "linear": None}))
    with pytest.raises(UnreadableModel, match="sometimes"):
        FusedModel.load(tmp_path)
