"""What an evaluation tells of models whose answers are known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import pytest

from batch.quality.contestants import CONTESTANTS, Contestant, Lesson, UnknownModel, chosen
from batch.quality.examination import GROUPS_MAX, Exam, Figures, examine, figures_of, groups_of
from batch.training.session_log import DatedSessions
from domain.evaluation import EvaluationQuery, Protocol
from domain.recommenders.protocol import Ranking, Recommender, Session
from domain.recommenders.session_knn_policy import SessionKnnPolicy
from domain.recommenders.session_log import SessionLog
from schemas.errors import DependencyError

COUNTS = np.array([9, 6, 3, 0], np.int64)
LOG = SessionLog.of([(1, [0, 1, 2])])
LESSON = Lesson(DatedSessions(LOG, np.array([0])), len(COUNTS), 2, SessionKnnPolicy())


class Scripted:
    """Answers every query with the same list."""

    def __init__(self, *items: int) -> None:
        self.items = items

    def rank(self, session: Session, k: int) -> Ranking:
        items = np.array(self.items[:k], np.int32)
        return Ranking(items, np.arange(len(items), 0, -1).astype(np.float32))

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


def scripted(*items: int) -> Contestant:
    def build(lesson: Lesson) -> Recommender:
        return Scripted(*items)

    return Contestant(build)


def query(*prefix: int, then: int, key: int) -> EvaluationQuery:
    return EvaluationQuery(key, Session(prefix), then, (then,))


QUERIES = [query(0, then=1, key=0), query(0, 1, then=0, key=0), query(2, then=3, key=1), query(1, then=2, key=2)]


def examined(**models: Contestant) -> Figures:
    groups = groups_of(QUERIES, COUNTS, ["phone", "tv", "phone"])
    exam = Exam(QUERIES, COUNTS, {0: frozenset("a"), 1: frozenset("b")}, groups, Protocol(2))
    found, failed = examine(models, LESSON, exam, lambda _: None)
    return {**figures_of(found, exam), "failed": failed}


def test_each_model_has_its_figures_with_bounds() -> None:
    found = examined(popularity=scripted(0, 1), other=scripted(2, 3))["models"]
    assert found["popularity"]["metrics"]["HR@2"][0] == 0.5
    for one in found.values():
        assert all(low <= mean <= high for mean, low, high in one["metrics"].values())
        assert one["latency_us"]["p50"] <= one["latency_us"]["p99"]
    assert found["popularity"]["lists"]["diversity"] == 1.0
    assert found["other"]["lists"]["diversity"] is None  # JSON has no NaN


def test_a_model_that_cannot_be_built_says_why_and_the_others_are_examined() -> None:
    def build(lesson: Lesson) -> Recommender:
        raise DependencyError("spark", "its JVM ended", "give it more memory")

    found = examined(popularity=scripted(0, 1), broken=Contestant(build), other=scripted(2, 3))
    assert list(found["models"]) == ["popularity", "other"]
    assert "its JVM ended" in found["failed"]["broken"]


def test_surprise_is_measured_against_the_first_model() -> None:
    found = examined(popularity=scripted(0, 1), other=scripted(2, 3), same=scripted(0, 1))["models"]
    assert found["other"]["lists"]["serendipity"] == pytest.approx(2 / 4 / 2)
    assert found["same"]["lists"]["serendipity"] == 0


def test_every_pair_of_models_is_compared_on_the_same_queries() -> None:
    paired = examined(popularity=scripted(0, 1), middle=scripted(1, 2), last=scripted(2, 3))["paired"]
    assert [(one["model"], one["over"]) for one in paired] == [
        ("middle", "popularity"),
        ("last", "popularity"),
        ("last", "middle"),
    ]
    assert paired[0]["HR@2"][0] == 0


def test_queries_are_told_apart_by_length_target_and_device() -> None:
    groups = examined(popularity=scripted(0, 1))["models"]["popularity"]["groups"]
    assert {name: of["queries"] for name, of in groups["prefix_length"].items()} == {"1": 3, "2-3": 1}
    assert {name: of["queries"] for name, of in groups["target"].items()} == {
        "repeat": 1,
        "known": 1,
        "rare": 1,
        "cold": 1,
    }
    assert {name: of["queries"] for name, of in groups["device"].items()} == {"phone": 3, "tv": 1}
    assert list(groups["target"]) == ["repeat", "known", "rare", "cold"]
    assert groups["target"]["cold"]["HR@2"][0] == 0


def test_only_the_commonest_devices_are_told_by_name() -> None:
    devices = [f"d{number}" for number in range(GROUPS_MAX + 3)]
    queries = [query(0, then=1, key=key) for key in range(len(devices))] + [query(0, then=1, key=len(devices) - 1)]
    named = set(groups_of(queries, COUNTS, devices)["device"].tolist())
    assert len(named) == GROUPS_MAX + 1
    assert {"other", devices[-1]} <= named


def test_the_popularity_always_takes_part_and_quick_means_what_builds_within_seconds() -> None:
    assert list(chosen("session_knn")) == ["popularity", "session_knn"]
    assert set(chosen("quick")) == {name for name, one in CONTESTANTS.items() if one.is_quick}
    assert chosen("all").keys() == CONTESTANTS.keys()
    assert list(chosen("gru4rec, quick")) == [name for name in CONTESTANTS if name in chosen("gru4rec,quick")]


def test_an_unknown_model_is_refused_by_name() -> None:
    with pytest.raises(UnknownModel, match="'oracle'"):
        chosen("session_knn,oracle")
