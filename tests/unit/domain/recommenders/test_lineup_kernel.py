"""What a server computes for one query is what training computed for a batch of them."""

from __future__ import annotations

import numpy as np
import pytest

from domain.recommenders.fusion_neighbours import ANEW
from domain.recommenders.lineup.candidates import Lineup
from domain.recommenders.lineup.memory import Memory
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.lineup.reasons import Trial
from domain.recommenders.lineup.sources import NeuralSource
from domain.recommenders.lineup.striking import Struck
from domain.recommenders.session_knn_kernel import NOTHING
from tests.unit.domain.recommenders.lineup_models import ITEMS, summed

SHORT = ([3], [3, 4, 3, 5], [41, 42, 1, 2, 3, 58, 59])


def sessions() -> list[list[int]]:
    generator = np.random.default_rng(11)
    return [*map(list, SHORT), *(generator.integers(0, ITEMS, size).tolist() for size in (12, 21, 40, 90))]


def test_the_sessions_that_are_tried_reach_beyond_what_each_source_looks_at() -> None:
    fused = summed("nothing")
    assert max(map(len, sessions())) > fused.knn.policy.query_items_max + 8


@pytest.mark.parametrize("is_neural", [True, False])
@pytest.mark.parametrize("struck", ["nothing", "current", "seen"])
def test_one_query_has_the_candidates_and_features_of_the_batch(struck: Struck, is_neural: bool) -> None:
    fused = summed(struck, is_neural=is_neural)
    memory = Memory(fused.lineup, fused.neural)
    asked = sessions()
    batch = fused.lineup.table(Queries.of(asked))
    for number, known in enumerate(asked):
        candidates, rows = memory.table(known)
        expected = batch.candidates[number]
        assert candidates.tolist() == expected[expected >= 0].tolist()
        np.testing.assert_allclose(rows, batch.features[number][expected >= 0], rtol=2e-4, atol=1e-6)


def test_a_network_of_a_large_catalogue_judges_what_others_propose() -> None:
    fused = summed("nothing")
    assert fused.neural is not None
    knn, covisitation, network = fused.lineup.sources
    assert network.proposes
    judging = NeuralSource(fused.neural, proposes_max=ITEMS - 1)
    queries = Queries.of(sessions())
    others = Lineup([knn, covisitation], fused.lineup.facts, "nothing").candidates(queries)
    table = Lineup([knn, covisitation, judging], fused.lineup.facts, "nothing").table(queries)
    assert table.candidates.tolist() == others.tolist()
    assert table.column("gru4rec_softmax")[others >= 0].any()


def test_a_query_without_an_item_has_the_features_of_the_shorter_query() -> None:
    fused = summed("current")
    for known in sessions():
        causes = np.array(sorted(set(known[-8:])), np.int32)
        candidates = Memory(fused.lineup, fused.neural).table(known)[0]
        rows = rows_without(fused, known, causes, candidates)
        shorter = Queries.of([[item for item in known if item != cause] for cause in causes])
        expected = fused.lineup.judge(shorter, np.repeat(candidates[None], len(causes), axis=0)).features
        np.testing.assert_allclose(rows, expected, rtol=2e-4, atol=1e-6)


def rows_without(fused: FusedModel, known: list[int], causes: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    parts = Memory(fused.lineup, fused.neural).parts
    trial = Trial(parts, np.array(known, np.int32), ANEW, candidates)
    return trial.rows_without(causes, candidates, len(fused.lineup.features), fused.neural)


def test_the_search_of_a_ranking_serves_its_reasons_and_no_other_query() -> None:
    fused = summed("current")
    memory = Memory(fused.lineup, fused.neural)
    for known, between in (([3, 4, 5], []), ([41, 42, 44], [[7, 8]])):
        candidates = memory.table(known)[0]
        search = memory.search
        for other in between:
            memory.table(other)
        causes = np.array([known[0], NOTHING, known[1]], np.int32)
        trial = Trial(memory.parts, np.array(known, np.int32), search, candidates)
        rows = trial.rows_without(causes, candidates, len(fused.lineup.features), fused.neural)
        np.testing.assert_array_equal(rows, rows_without(fused, known, causes, candidates))
