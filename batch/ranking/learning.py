"""The shipped line-up, learnt from a history: tuned, trained and ranked by a slice, then built again on everything."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from batch.ranking.budget import Budget
from batch.ranking.fusion import Learnt, examples_of, learn_fusion
from batch.ranking.history import History
from batch.ranking.lineup import (
    ENCODERS,
    JUDGING_LEAST,
    SERVED,
    Choice,
    Chosen,
    Manifest,
    Tell,
    choose,
    choose_trained,
    line_up,
)
from batch.ranking.ranker import Examples
from batch.ranking.slices import validation_slice
from batch.ranking.striking import AllowCurrent, answerable, first_rule
from domain.recommenders.lineup.candidates import Lineup
from domain.recommenders.lineup.model import FusedModel
from domain.recommenders.lineup.sources import CovisitationSource, KnnSource, NeuralSource
from domain.recommenders.lineup.striking import Struck

QUESTIONS_MAX: Final = 24_000
REBUILD_TO_TRAINED: Final = 1.7
"""A training on everything is longer by what is newer, and starts only when it would take 60 % of what is left."""
SHARE_EARLIER: Final = 0.2
"""Of what is left: so much may the trainings before an earlier cut take."""
LEFT_OUT: Final = {
    "nothing": "anything may be recommended",
    "current": "the current item is not recommended",
    "seen": "what a session had is not recommended",
}


@dataclass(frozen=True, slots=True, eq=False)
class LearntLineup:
    """Models with their policies, and what ranks their candidates."""

    chosen: list[Chosen]
    learnt: Learnt
    struck: Struck  # what was no candidate; `learnt` may leave out more
    budget: Budget

    def rebuild(self, history: History) -> tuple[FusedModel, dict[str, Any]]:
        """The same models of another history as one, which has at most one encoder; see `rebuild_all`."""
        lineup, manifest = self.rebuild_all(history)
        parts = lineup.sources
        knn = next(source.knn for source in parts if isinstance(source, KnnSource))
        covisitation = next(source.model for source in parts if isinstance(source, CovisitationSource))
        neural = next((source.model for source in parts if isinstance(source, NeuralSource)), None)
        return FusedModel(knn, covisitation, neural, history.facts, self.learnt.fusion), manifest

    def rebuild_all(self, history: History) -> tuple[Lineup, dict[str, Any]]:
        """The same models of another history, of as many items, and the manifest by which they are built again."""
        with self.budget.step("rebuild"):
            rebuilt = {each.name: each.rebuild(history) for each in self.chosen}
        manifest = {each.name: each.manifest | rebuilt[each.name][1] for each in self.chosen}
        lineup = Lineup([source for source, _ in rebuilt.values()], history.facts, self.struck)
        return lineup, manifest | {"fusion": self.learnt.manifest}

    @property
    def told(self) -> dict[str, Any]:
        """How good each part was on the slice, and what was tried."""
        chosen = {each.name: each.told for each in self.chosen}
        return {"ranked_by": self.learnt.fusion.by, "validation": self.learnt.told, "chosen": chosen}


def prepare(
    history: History, budget: Budget, seed: int, allowed: AllowCurrent, manifest: Manifest, tell: Tell
) -> tuple[Choice, dict[str, Any]]:
    """Keep the newest part of the history back as questions; returns what models are chosen by, and what there is."""
    with budget.step("split"):
        cut = validation_slice(history)
        questions = cut.questions.sample(QUESTIONS_MAX, np.random.default_rng(seed))
        struck = first_rule(cut.known, questions, allowed)
        questions = answerable(questions, struck)
    told = {
        "interactions": len(history.items),
        "sessions": len(history),
        "items": history.items_count,
        "dated": history.is_dated,
        "baskets": cut.has_baskets,
        "questions": len(questions),
    }
    tell(
        f"{len(history.items):,} interactions of {len(history):,} sessions and {history.items_count:,} items; "
        f"the newest part asks {len(questions):,} questions; {LEFT_OUT[struck]}"
    )
    known = cut.known if len(cut.known.items) else history
    return Choice(known, questions, struck, budget, seed, tell, manifest), told


def learn(choice: Choice, allowed: AllowCurrent, queries_count: int = 0, names: Sequence[str] = SERVED) -> LearntLineup:
    """Tune and train the models of these names before the cut, then learn to rank their candidates from the slice.

    `queries_count` questions are to be answered afterwards within the same budget.
    """
    chosen = _chosen_side_by_side(choice, names)
    choice.budget.rebuild_s = REBUILD_TO_TRAINED * _trained_s(chosen)
    lineup = Lineup([each.source for each in chosen], choice.known.facts, choice.struck)
    learnt = learn_fusion(lineup, choice, allowed, queries_count, partial(_earlier_examples, choice, chosen))
    return LearntLineup(chosen, learnt, choice.struck, choice.budget)


def _trained_s(chosen: Sequence[Chosen]) -> float:
    return sum(each.trained_s for each in chosen)


def _earlier_examples(choice: Choice, chosen: Sequence[Chosen], wanted: int) -> Examples | None:
    """At most `wanted` questions of the newest part of what was known before the slice; None without time to train."""
    if not choice.manifest and _trained_s(chosen) > choice.budget.left_s * SHARE_EARLIER:
        return None
    cut = validation_slice(choice.known)
    questions = answerable(cut.questions.sample(wanted, np.random.default_rng(choice.seed)), choice.struck)
    if len(questions) < JUDGING_LEAST or not len(cut.known.items):
        return None
    choice.tell(f"{len(questions):,} earlier questions to learn from")
    lineup = Lineup([each.anew(cut.known) for each in chosen], cut.known.facts, choice.struck)
    return examples_of(lineup, questions)


def _chosen_side_by_side(choice: Choice, names: Sequence[str]) -> list[Chosen]:
    """All models: what is trained on one core, while what is searched for has the other."""
    names = line_up(choice.known, names)
    with ThreadPoolExecutor(1) as beside:
        trained = beside.submit(choose_trained, [name for name in names if name in ENCODERS], choice)
        searched = [choose(name, choice) for name in names if name not in ENCODERS]
        return searched + trained.result()
