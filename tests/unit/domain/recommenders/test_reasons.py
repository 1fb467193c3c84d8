"""The counterfactual test: without the act that is cited, the item scores lower or is gone."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest

from domain.recommenders.lineup.fusion import TREES, Fusion
from domain.recommenders.lineup.instant import InstantModel
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.protocol import Session
from domain.recommenders.tree_ensemble import TreeEnsemble
from tests.unit.domain.recommenders.lineup_models import ITEMS, grown, log_of_groups, model, summed

CASES = 500
SHOWN = 10
HELD_SHARE = 0.95
CITED_SHARE = 0.5


def learnt() -> FusedModel:
    """Ranked by trees that have learnt what came next, which nothing tells for sure: one of the four items after."""
    log, lineup = log_of_groups(), summed("seen").lineup
    generator = np.random.default_rng(4)
    newest = log.items[log.offsets[1:] - 2]
    following = newest // 10 * 10 + (newest + generator.integers(1, 5, len(newest))) % 10
    prefixes = [log.items[start : end - 1].tolist() for start, end in zip(log.offsets, log.offsets[1:], strict=False)]
    table = lineup.table(Queries.of(prefixes))
    valid = table.candidates >= 0
    is_next = (table.candidates == following[:, None])[valid]
    settings = {"objective": "lambdarank", "num_leaves": 15, "num_threads": 1, "verbose": -1, "seed": 1}
    examples = lgb.Dataset(table.features[valid], is_next.astype(np.int8), group=valid.sum(axis=1))
    booster = lgb.train({**settings, "deterministic": True}, examples, num_boost_round=30)
    return model(Fusion(TREES, "seen", TreeEnsemble.of(table.names, booster.dump_model()["tree_info"])))


@pytest.mark.parametrize("asked", [learnt, grown, lambda: grown().instant()], ids=["learnt", "stumps", "instant"])
def test_without_the_cited_act_the_item_scores_lower_or_leaves_the_list(asked: object) -> None:
    fused = asked()  # type: ignore[operator]
    generator = np.random.default_rng(2)
    held: list[bool] = []
    shown = 0
    while len(held) < CASES:
        groups = generator.integers(0, ITEMS // 10, size=2)
        items = groups.repeat(3) * 10 + generator.integers(0, 10, size=6)
        session = Session(tuple(generator.permutation(items).tolist()))
        ranking = fused.rank(session, SHOWN)
        causes = fused.because(session, ranking.items)
        shown += len(ranking)
        held += holds(fused, session, dict(zip(ranking.items.tolist(), ranking.scores, strict=True)), causes)
    assert len(held) / shown >= CITED_SHARE
    assert np.mean(held[:CASES]) >= HELD_SHARE


def holds(
    fused: FusedModel | InstantModel, session: Session, scores: dict[int, float], causes: list[int | None]
) -> list[bool]:
    """For each item that cites an act whether it falls when the rest of the session is asked about anew."""
    found = []
    for (item, score), cause in zip(scores.items(), causes, strict=True):
        if cause is not None:
            rest = Session(tuple(each for each in session.items if each != cause))
            again = fused.rank(rest, SHOWN)
            anew = dict(zip(again.items.tolist(), again.scores, strict=True))
            found.append(anew.get(item, -np.inf) < score)
    return found
