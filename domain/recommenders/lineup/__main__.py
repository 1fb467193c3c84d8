"""`python -m domain.recommenders.lineup`: compile the kernels into numba's cache, ahead of the servers' start."""

from __future__ import annotations

import argparse
from typing import Final

import numpy as np

from domain.recommenders.covisitation import Covisitation
from domain.recommenders.lineup.fusion import TREES, Fusion
from domain.recommenders.lineup.item_facts import ItemFacts
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.lineup.queries import Queries
from domain.recommenders.neural import NeuralSessionModel
from domain.recommenders.neural_encoders import EncoderShape
from domain.recommenders.protocol import Session
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from domain.recommenders.tree_ensemble import TreeEnsemble

WIDTH: Final = 8


def main() -> None:
    """Compile all of them, unless only help is asked for."""
    argparse.ArgumentParser(prog="python -m domain.recommenders.lineup", description=__doc__).parse_args()
    compile_all()


def compile_all() -> None:
    """Ask a small line-up all that is asked in training and by a server."""
    log = SessionLog.of([(1, [0, 1, 2]), (2, [1, 2, 3])])
    items, at_ms = 4, np.repeat(log.ended_at_ms, np.diff(log.offsets))
    shape = EncoderShape("gru", WIDTH, clicks_max=4, temperature=0.1)
    arrays = {name: np.ones(size, np.float32) for name, size in shape.arrays().items()}
    neural = NeuralSessionModel(np.ones((items, WIDTH), np.float32), np.zeros(items, np.float32), shape, arrays)
    model = FusedModel(
        SessionKnn.build(log, items),
        Covisitation.build(log, items),
        neural,
        ItemFacts.of(log.offsets, log.items, at_ms, items),
        Fusion(TREES, "seen", TreeEnsemble.of((), [{"tree_structure": {"leaf_value": 1.0}}])),
    )
    model.fusion.answer(model.lineup, Queries.of([[0], [1, 2]]), 2)
    model.warm()
    model.instant().warm()
    model.instant().rank(Session((1, 2)), 2)


if __name__ == "__main__":
    main()
