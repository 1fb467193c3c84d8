"""The exported trees score as the library that grew them does."""

from __future__ import annotations

import time
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pytest

from domain.recommenders.stored import UnreadableModel
from domain.recommenders.tree_ensemble import NAMES_FILE, TreeEnsemble

NAMES = tuple(f"feature_{number}" for number in range(12))


def grown(trees: int) -> tuple[lgb.Booster, TreeEnsemble, np.ndarray]:
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(2_400, len(NAMES))).astype(np.float32)
    rows[:, 3] = np.round(rows[:, 3])
    labels = (rows[:, 0] + rows[:, 3] * rows[:, 1] + generator.normal(size=len(rows)) > 1).astype(np.int8)
    settings = {"objective": "lambdarank", "num_threads": 1, "verbose": -1, "deterministic": True, "seed": 1}
    booster = lgb.train(settings, lgb.Dataset(rows, labels, group=np.full(20, 120)), num_boost_round=trees)
    return booster, TreeEnsemble.of(NAMES, booster.dump_model()["tree_info"]), rows


def test_scores_equal_those_of_lightgbm() -> None:
    booster, ensemble, rows = grown(100)
    np.testing.assert_allclose(ensemble.scores(rows), booster.predict(rows), rtol=0, atol=1e-6)
    started = time.perf_counter()
    for first in range(0, len(rows), 120):
        ensemble.scores(rows[first : first + 120])
    print(f"120 candidates, 100 trees: {(time.perf_counter() - started) / 20 * 1e3:.3f} ms")


def test_a_tree_that_is_one_leaf_adds_its_value() -> None:
    ensemble = TreeEnsemble.of(("only",), [{"tree_structure": {"leaf_value": 0.25}}] * 2)
    assert ensemble.scores(np.zeros((3, 1), np.float32)).tolist() == [0.5, 0.5, 0.5]


def test_a_categorical_split_is_refused() -> None:
    split = {"split_feature": 0, "threshold": "1||2", "decision_type": "=="}
    with pytest.raises(ValueError, match="numerical"):
        TreeEnsemble.of(("only",), [{"tree_structure": split}])


def test_what_was_saved_scores_alike(tmp_path: Path) -> None:
    _, ensemble, rows = grown(5)
    ensemble.save(tmp_path)
    loaded = TreeEnsemble.load(tmp_path)
    assert loaded.features == NAMES
    assert loaded.scores(rows).tolist() == ensemble.scores(rows).tolist()
    (tmp_path / NAMES_FILE).unlink()
    with pytest.raises(UnreadableModel):
        TreeEnsemble.load(tmp_path)
