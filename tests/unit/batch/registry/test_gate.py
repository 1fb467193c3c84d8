"""The gate: who is compared with whom on what, what is refused, and with which words."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from batch.registry.gate import Newcomer, Verdict, in_words_of, judge
from batch.training.session_log import DatedSessions
from domain.artifacts import Artifact
from domain.evaluation import EvaluationQuery
from domain.recommenders.protocol import Session
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_log import SessionLog
from domain.recommenders.vocabulary import Vocabulary
from infra.settings import GateSettings
from tests.builders import START_MS
from tests.published import shelve

ITEMS = [f"i{number:02d}" for number in range(60)]
WALKS = [[ITEMS[(start * 7 + step) % 60] for step in range(5)] for start in range(240)]
"""Everybody goes from one item to the next one: easy to learn."""
MINUTE_MS = 60_000
LIMITS = GateSettings(rank_p99_ms_max=1_000)


def noise(seed: int) -> list[list[str]]:
    """Sessions from which nothing can be learnt."""
    generator = random.Random(seed)
    return [generator.sample(ITEMS, 5) for _ in range(240)]


@dataclass
class World:
    """Artifacts in a folder, and the walks as the newcomer's sessions, one a minute."""

    folder: Path
    asked_of_twin: list[int] = field(default_factory=list)

    def artifact(self, version: str, sessions: list[list[str]], *, cutoff_minute: int = 240) -> Artifact:
        return Artifact.load(shelve(self.folder, version, sessions, cutoff_ms=START_MS + cutoff_minute * MINUTE_MS))

    def judged(
        self, newcomer: Artifact, current: Artifact | None, limits: GateSettings = LIMITS, *, sessions: int = 240
    ) -> Verdict:
        dated = dated_walks(newcomer.vocabulary, sessions)

        def twin(at_ms: int) -> SessionKnn:
            self.asked_of_twin.append(at_ms)
            known = dated.where(dated.log.ended_at_ms < at_ms)
            assert known.log.ended_at_ms.max() < at_ms
            return SessionKnn.build(known.log, len(newcomer.vocabulary))

        folder = self.folder / newcomer.version
        return judge(Newcomer(newcomer, dated, twin), current, folder, limits)


def dated_walks(vocabulary: Vocabulary, sessions: int) -> DatedSessions:
    dense = [[vocabulary.item_ids.index(item) for item in walk] for walk in WALKS[:sessions]]
    started = np.array([START_MS + number * MINUTE_MS for number in range(sessions)], np.int64)
    return DatedSessions(
        SessionLog.of((at + 1_000, items) for at, items in zip(started.tolist(), dense, strict=True)), started
    )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_artifact_is_promoted(world: World) -> None:
    verdict = world.judged(world.artifact("new", WALKS), None)
    assert verdict.promoted
    assert verdict.reason == "there is no current artifact to compare it with"
    assert verdict.figures["size_mb"] > 0
    assert verdict.figures["rank_p99_ms"] > 0


def test_sessions_since_the_current_cutoff_are_asked_of_it_and_of_a_twin_that_has_not_seen_them(world: World) -> None:
    current = world.artifact("old", WALKS[:120], cutoff_minute=120)
    verdict = world.judged(world.artifact("new", WALKS), current)
    assert verdict.promoted
    assert (verdict.basis, verdict.against) == ("held_out", "old")
    assert world.asked_of_twin == [START_MS + 120 * MINUTE_MS]
    assert verdict.figures["queries"] == 120 * 4
    assert verdict.figures["hr20_gain_low"] == verdict.figures["hr20_gain_high"] == 0
    assert "480 questions that neither had seen" in verdict.reason


def test_a_worse_one_is_refused_with_the_interval(world: World) -> None:
    limits = GateSettings(rank_p99_ms_max=1_000, queries_min=50)
    verdict = world.judged(world.artifact("new", noise(1)), world.artifact("old", WALKS), limits)
    assert not verdict.promoted
    assert verdict.basis == "seen_by_both"
    assert verdict.figures["hr20_gain_high"] < 0
    assert "hr20 may be" in verdict.reason
    assert "95 % interval" in verdict.reason


def test_a_better_one_is_promoted(world: World) -> None:
    verdict = world.judged(world.artifact("new", WALKS), world.artifact("old", noise(1), cutoff_minute=120))
    assert verdict.promoted
    assert verdict.figures["hr20_gain_low"] > 0


def test_when_nothing_new_came_since_both_answer_as_they_are(world: World) -> None:
    limits = GateSettings(rank_p99_ms_max=1_000, queries_min=50)
    verdict = world.judged(world.artifact("new", WALKS), world.artifact("old", WALKS), limits)
    assert verdict.promoted
    assert verdict.basis == "seen_by_both"
    assert world.asked_of_twin == []
    assert "that both had seen" in verdict.reason


def test_the_margin_is_what_may_be_lost(world: World) -> None:
    newcomer, current = world.artifact("new", noise(1)), world.artifact("old", WALKS)
    assert world.judged(newcomer, current, GateSettings(loss_max=1, queries_min=50, rank_p99_ms_max=1_000)).promoted


def test_too_few_questions_tell_nothing_and_the_limits_decide(world: World) -> None:
    newcomer, current = world.artifact("new", noise(1)), world.artifact("old", WALKS)
    verdict = world.judged(newcomer, current, sessions=20)
    assert verdict.promoted
    assert "too few" in verdict.reason


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (GateSettings(size_mb_max=1e-6, rank_p99_ms_max=1_000), "MB on disk"),
        (GateSettings(rank_p99_ms_max=1e-9), "ms for a ranking"),
    ],
)
def test_one_that_is_too_large_or_too_slow_is_refused(world: World, limits: GateSettings, words: str) -> None:
    verdict = world.judged(world.artifact("new", WALKS), None, limits)
    assert not verdict.promoted
    assert words in verdict.reason


def test_the_current_one_passes_again(world: World) -> None:
    current = world.artifact("old", WALKS)
    assert world.judged(current, current).promoted


def test_questions_keep_their_places_in_a_vocabulary_that_lacks_items() -> None:
    asked, answers = Vocabulary(["a", "b", "c", "d"]), Vocabulary(["b", "c"])
    (question,) = in_words_of([EvaluationQuery(7, Session((0, 1, 2)), 3, (3, 0))], asked, answers)
    assert question == EvaluationQuery(7, Session((0, 1)), -5, (-5, -2))
