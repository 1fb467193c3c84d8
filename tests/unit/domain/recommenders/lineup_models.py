"""Small line-ups over a made-up log, ranked in several ways."""

from __future__ import annotations

import numpy as np

from domain.recommenders.covisitation import Covisitation
from domain.recommenders.lineup.fusion import LINEAR, TREES, Fusion
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.linear import LinearFusion
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.lineup.striking import Struck
from domain.recommenders.neural import UNTRAINED_BIAS, NeuralSessionModel
from domain.recommenders.neural_encoders import EncoderShape
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from domain.recommenders.tree_ensemble import TreeEnsemble

ITEMS = 60
SUM = LinearFusion.of((("vstan_score_of_highest", 1.0), ("covisitation_score_of_highest", 0.3)))


def log_of_groups(sessions: int = 400) -> SessionLog:
    """Sessions within groups of ten items, from one item to the next."""
    generator = np.random.default_rng(3)
    rows = []
    for number in range(sessions):
        group, at = int(generator.integers(ITEMS // 10)), int(generator.integers(10))
        rows.append((number * 60_000, [group * 10 + (at + step) % 10 for step in range(int(generator.integers(2, 6)))]))
    return SessionLog.of(rows)


def model(fusion: Fusion, *, is_neural: bool = True) -> FusedModel:
    log, generator = log_of_groups(), np.random.default_rng(5)
    shape = EncoderShape("gru", dimensions=8, clicks_max=6, temperature=0.1)
    arrays = {name: generator.standard_normal(size).astype(np.float32) * 0.4 for name, size in shape.arrays().items()}
    vectors = generator.standard_normal((ITEMS, 8)).astype(np.float32)
    biases = np.zeros(ITEMS, np.float32)
    vectors[59], biases[59] = 0, UNTRAINED_BIAS
    neural = NeuralSessionModel(vectors, biases, shape, arrays) if is_neural else None
    at_ms = np.repeat(log.ended_at_ms, np.diff(log.offsets))
    facts = ItemFacts.of(log.offsets, log.items, at_ms, ITEMS)
    return FusedModel(SessionKnn.build(log, ITEMS), Covisitation.build(log, ITEMS), neural, facts, fusion)


def stumps(features: tuple[str, ...], by: str) -> TreeEnsemble:
    """Ten trees that each add 0.1 to what has a higher value of one feature."""
    at = features.index(by)
    leaf = {"low": {"leaf_value": -0.1}, "high": {"leaf_value": 0.1}}
    return TreeEnsemble.of(
        features,
        [
            {
                "tree_structure": {
                    "split_feature": at,
                    "threshold": share / 11,
                    "decision_type": "<=",
                    "left_child": leaf["low"],
                    "right_child": leaf["high"],
                }
            }
            for share in range(1, 11)
        ],
    )


def grown(struck: Struck = "seen") -> FusedModel:
    names = model(Fusion(LINEAR, struck, None, SUM)).features()
    return model(Fusion(TREES, struck, stumps(names, "vstan_score_of_highest")))


def summed(struck: Struck, *, is_neural: bool = True) -> FusedModel:
    """Ranked by a weighted sum."""
    return model(Fusion(LINEAR, struck, None, SUM), is_neural=is_neural)
