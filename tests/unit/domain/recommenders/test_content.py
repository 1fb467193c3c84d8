"""What items are about: sparse and dense rows against the definition, and the edges one can follow by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from domain.recommenders.content import FILE, ContentPolicy, ContentSimilarity
from domain.recommenders.item_content import Embeddings, TermRows
from domain.recommenders.protocol import GAP, Session
from domain.recommenders.stored import UnreadableModel

WIDTH, ITEMS, WORDLESS = 8, 30, 4
POLICY = ContentPolicy(query_items_max=3, query_decay_positions=2.0)


def matrix() -> np.ndarray:
    generator = np.random.default_rng(8)
    rows = generator.random((ITEMS, WIDTH)) * (generator.random((ITEMS, WIDTH)) < 0.4)
    rows[WORDLESS] = 0
    return rows


def sparse() -> TermRows:
    rows = matrix()
    offsets = np.concatenate(([0], np.cumsum((rows > 0).sum(axis=1))))
    return TermRows.of(offsets, np.nonzero(rows)[1].astype(np.int32), rows[rows > 0], WIDTH)


def dense() -> Embeddings:
    return Embeddings.of(matrix())


Build = Callable[[], TermRows | Embeddings]
KINDS: dict[str, Build] = {"sparse": sparse, "dense": dense}


def slow_scores(session: tuple[int, ...]) -> np.ndarray:
    """The definition, pair by pair."""
    rows = matrix()
    lengths = np.maximum(np.linalg.norm(rows, axis=1), 1e-9)
    scores = np.zeros(ITEMS)
    for place, item in enumerate(session[::-1][: POLICY.query_items_max]):
        for other in range(ITEMS):
            if 0 <= item < ITEMS and other != item:
                cosine = rows[item] @ rows[other] / lengths[item] / lengths[other]
                scores[other] += np.exp(-place / POLICY.query_decay_positions) * cosine
    return scores


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_those_of_the_definition(kind: str) -> None:
    model = ContentSimilarity(KINDS[kind](), POLICY)
    everything = np.arange(ITEMS, dtype=np.int32)
    for session in ((3,), (9, 9), (1, 2, 3, 5), (GAP, 6, 99), (7, WORDLESS)):
        expected = slow_scores(session)
        np.testing.assert_allclose(model.scores(Session(session), everything), expected, rtol=1e-4, atol=1e-5)
        ranking = model.rank(Session(session), 10)
        np.testing.assert_allclose(ranking.scores, np.sort(expected)[::-1][: len(ranking)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_item_does_not_vouch_for_itself_and_what_says_nothing_is_never_ranked(kind: str) -> None:
    model = ContentSimilarity(KINDS[kind](), POLICY)
    assert 3 not in model.similar(3, ITEMS).items
    assert WORDLESS not in model.similar(3, ITEMS).items
    assert len(model.similar(WORDLESS, 5)) == 0
    for session in (Session(()), Session((GAP,)), Session((WORDLESS, 99))):
        assert len(model.rank(session, 5)) == 0
        assert model.scores(session, np.array([1, 2], np.int32)).tolist() == [0, 0]


def test_the_ranking_can_keep_to_some_items() -> None:
    model = ContentSimilarity(sparse(), POLICY)
    new = np.arange(20, ITEMS, dtype=np.int32)
    whole = model.rank(Session((3, 5)), ITEMS).items.tolist()
    assert model.rank_among(Session((3, 5)), new, ITEMS).items.tolist() == [item for item in whole if item >= 20]


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_saved_answers_alike(kind: str, tmp_path: Path) -> None:
    model = ContentSimilarity(KINDS[kind](), POLICY)
    model.save(tmp_path)
    loaded = ContentSimilarity.load(tmp_path)
    assert loaded.policy == POLICY
    assert loaded.rank(Session((3, 5)), 9).scores.tolist() == model.rank(Session((3, 5)), 9).scores.tolist()
    (tmp_path / FILE).write_text('{"kind": "content-smells", "format": 1, "policy": {}}')
    with pytest.raises(UnreadableModel):
        ContentSimilarity.load(tmp_path)


def test_embeddings_that_are_no_finite_matrix_are_refused() -> None:
    for vectors in (np.ones(3), np.array([[1.0, np.nan]])):
        with pytest.raises(ValueError, match="finite matrix"):
            Embeddings.of(vectors)
