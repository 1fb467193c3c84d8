"""The line-up of a daily run: learnt without the newest sessions, judged on them, and built again on everything.

The newest tenth of the sessions is what figures are reported on. What had ended before it began is learnt from:
policies are searched for, networks trained and trees grown by the newest part of that (`batch.ranking.learning`). What
was chosen is told as a manifest, by which the same models are made again; time only chooses the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from batch.evaluation import Metrics, cut_newest, evaluate_systems
from batch.ranking.budget import Budget
from batch.ranking.history import History
from batch.ranking.learning import LearntLineup, learn, prepare
from batch.run import Found, Tell
from batch.training.grades import Grading
from batch.training.session_log import DatedSessions
from domain.objectives import Objectives
from domain.recommenders.lineup.fusion import Fusion
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.protocol import Recommender
from schemas.events import ItemEvent

SEED: Final = 20
NAME: Final = "line_up"
TREES_MAX: Final = 150
"""Of a half of the questions; the served ranker has 1.3 times as many. A server has 0.3 ms for all of them."""


def history_of(
    sessions: DatedSessions,
    items_count: int,
    objectives: Objectives | None = None,
    catalogue: Mapping[int, ItemEvent] | None = None,
) -> History:
    """The sessions with an instant for each place, spread evenly from the session's start to its end.

    With objectives its interactions are worth what was done; without, and where that is not known, each the same.
    """
    lengths = np.diff(sessions.log.offsets)
    place = np.arange(len(sessions.log.items)) - np.repeat(sessions.log.offsets[:-1], lengths)
    spans = sessions.log.ended_at_ms - sessions.started_at_ms
    steps = np.repeat(spans / np.maximum(lengths - 1, 1), lengths)
    at_ms = np.repeat(sessions.started_at_ms, lengths) + np.rint(place * steps).astype(np.int64)
    grade_of = None
    if objectives is not None and sessions.acts is not None:
        grade_of = Grading(sessions, sessions.acts, at_ms, objectives, catalogue or {})
    return History(sessions.log.offsets, sessions.log.items, at_ms, items_count, is_dated=True, grade_of=grade_of)


@dataclass
class LineUp:
    """What is made of one run's sessions. `manifest` is the one of an earlier learning, empty for a new one."""

    sessions: DatedSessions
    items_count: int
    minutes: float
    tell: Tell
    manifest: Mapping[str, Any] = field(default_factory=dict)
    objectives: Objectives = field(default_factory=Objectives)
    catalogue: Mapping[int, ItemEvent] = field(default_factory=dict)  # by dense id
    with_mlp: bool = False  # whether a network may rank too, if that is better

    @cached_property
    def learnt(self) -> LearntLineup:
        """Learnt from what had ended before the newest tenth began."""
        return self._learn(self._known, self.manifest)

    def evaluate(self) -> Metrics:
        """HR@20, MRR@20 and NDCG@20 on the newest tenth: of the line-up, its session-kNN alone, and the baselines."""
        if len(self.sessions) < 2:
            return {"queries": 0.0}
        cut = cut_newest(self.sessions)
        model, _ = self.learnt.rebuild(history_of(cut.known, self.items_count))
        alone = FusedModel(
            model.knn, model.covisitation, None, model.lineup.facts, Fusion("vstan", model.fusion.struck)
        )
        return evaluate_systems(cut, self.items_count, {NAME: model, "session_knn": alone})

    def build(self) -> tuple[FusedModel, Found]:
        """The line-up of all sessions, and what was found: the manifest, and the figures of the slice."""
        model, manifest = self.learnt.rebuild(history_of(self.sessions, self.items_count))
        manifest |= {"objectives": asdict(self.objectives)}
        return model, {"manifest": manifest, "seconds": dict(self.learnt.budget.seconds)}

    def choose(self) -> Found:
        """Learn; tells what was chosen, by which figures, and the manifest."""
        learnt = self.learnt
        manifest = {each.name: each.manifest for each in learnt.chosen} | {"fusion": learnt.learnt.manifest}
        manifest |= {"objectives": asdict(self.objectives)}
        return {**learnt.told, "manifest": {**manifest, **self.manifest}}

    def twin(self, at_ms: int) -> Recommender:
        """The same models of the sessions that had ended before an instant, by nothing that came later.

        The ranking that was learnt is kept if all that it was learnt from had ended by then, else it is learnt again.
        """
        known = self.sessions.where(self.sessions.log.ended_at_ms < at_ms)
        learnt = self.learnt
        if self._known.log.ended_at_ms.max(initial=0) >= at_ms:
            learnt = self._learn(known, self.choose()["manifest"])
        return learnt.rebuild(history_of(known, self.items_count))[0]

    @property
    def _known(self) -> DatedSessions:
        return cut_newest(self.sessions).known if len(self.sessions) > 1 else self.sessions

    def _learn(self, sessions: DatedSessions, manifest: Mapping[str, Any]) -> LearntLineup:
        history = history_of(sessions, self.items_count, self.objectives, self.catalogue)
        choice, _ = prepare(history, Budget(self.minutes), SEED, "auto", manifest, self.tell)
        return learn(replace(choice, trees_max=TREES_MAX, with_mlp=self.with_mlp), "auto")
