"""The exported network scores as its formula says, and is quick."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain.recommenders.mlp import NAMES_FILE, Mlp
from domain.recommenders.stored import UnreadableModel

FEATURES, WIDE, NARROW = 7, 6, 4


def network(features: int = FEATURES, wide: int = WIDE, narrow: int = NARROW) -> Mlp:
    generator = np.random.default_rng(4)

    def some(*shape: int) -> np.ndarray:
        return generator.normal(size=shape).astype(np.float32)

    names = tuple(f"feature_{number}" for number in range(features))
    bounds = np.full(features, 2, np.float32)
    layers = (some(features, wide), some(wide), some(wide, narrow), some(narrow), some(narrow))
    return Mlp(names, -bounds, bounds, some(features), np.abs(some(features)) + 0.5, *layers)


def slow_score(mlp: Mlp, row: np.ndarray) -> float:
    inputs = [
        (min(max(value, low), high) - mean) / scale
        for value, low, high, mean, scale in zip(row, mlp.low, mlp.high, mlp.mean, mlp.scale, strict=True)
    ]
    wide = [max(sum(inputs[i] * mlp.first[i, j] for i in range(FEATURES)) + mlp.first_bias[j], 0) for j in range(WIDE)]
    narrow = [max(sum(wide[j] * mlp.second[j, k] for j in range(WIDE)) + mlp.second_bias[k], 0) for k in range(NARROW)]
    return float(sum(narrow[k] * mlp.third[k] for k in range(NARROW)))


def test_scores_equal_those_of_the_formula_and_the_rows_stay_as_they_are() -> None:
    mlp = network()
    rows = 3 * np.random.default_rng(1).normal(size=(20, FEATURES)).astype(np.float32)
    before = rows.copy()
    np.testing.assert_allclose(mlp.scores(rows), [slow_score(mlp, row) for row in rows], rtol=1e-4, atol=1e-5)
    assert rows.tolist() == before.tolist()
    assert mlp.scores(rows[:0]).tolist() == []


def test_what_it_costs_to_score_120_candidates() -> None:
    mlp = network(60, 64, 32)
    rows = np.ones((120, 60), np.float32)
    mlp.scores(rows)
    started = time.perf_counter()
    for _ in range(20):
        mlp.scores(rows)
    print(f"120 candidates: {(time.perf_counter() - started) / 20 * 1e3:.3f} ms")


def test_what_was_saved_scores_alike(tmp_path: Path) -> None:
    mlp = network()
    mlp.save(tmp_path)
    rows = np.random.default_rng(1).normal(size=(5, FEATURES)).astype(np.float32)
    loaded = Mlp.load(tmp_path)
    assert loaded.features == mlp.features
    assert loaded.scores(rows).tolist() == mlp.scores(rows).tolist()
    (tmp_path / NAMES_FILE).write_text('["only"]')
    with pytest.raises(UnreadableModel, match="do not fit"):
        Mlp.load(tmp_path)


def test_a_feature_without_a_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="no scale"):
        replace(network(), scale=np.zeros(FEATURES, np.float32))
