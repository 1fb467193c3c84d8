"""Which way of ranking the candidates is the best: trees, a network, a weighted sum, or one source alone?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import numpy as np

from batch.ranking.history import Questions
from batch.ranking.linear import fit_linear
from batch.ranking.lineup import Choice
from batch.ranking.measures import by_question, measure, scores_of
from batch.ranking.ranker import BOLD, GROWTH, Examples, K, RankerPolicy, best_policy, fit
from batch.ranking.striking import AllowCurrent
from batch.training import ranker_mlp
from batch.training.ranker_mlp import MlpPolicy
from domain.recommenders.lineup.candidates import Lineup
from domain.recommenders.lineup.fusion import LINEAR, MLP, TREES, Fusion
from domain.recommenders.lineup.linear import LinearFusion, features_of
from domain.recommenders.lineup.queries import Ids
from domain.recommenders.lineup.striking import Struck, first_kept
from domain.recommenders.mlp import Mlp
from domain.recommenders.tree_ensemble import TreeEnsemble

TABLED_AT_ONCE: Final = 2048
PROBED: Final = 512
ANSWER_TO_FEATURES: Final = 1.5
LEARN_TO_FEATURES: Final = 3.0
"""How long answering a query, and learning from a question, take for each second that its features take."""
LINEAR_ON: Final = 4000
EARLIER_BELOW: Final = 16_000
"""With fewer questions than this, those of an earlier slice are learnt from too, if there is time."""
QUESTIONS_FOR_TREES: Final = 300
"""Below so many questions with their answer among the candidates no trees are grown."""


EarlierOf = Callable[[int], Examples | None]
"""At most so many questions from before the slice, asked of models that know only what was before these."""


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """How candidates are ranked, with the figures that chose it."""

    fusion: Fusion
    trees: int = 0
    questions: int = 0  # how many were wanted to learn from
    earlier: int = 0  # and how many of an earlier slice
    ranker: Mapping[str, Any] = field(default_factory=dict)  # what differs from the plain policy
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> dict[str, Any]:
        """What was decided."""
        fusion = self.fusion
        asked = {"questions": self.questions, "earlier": self.earlier}
        return {"by": fusion.by, "struck": fusion.struck, "trees": self.trees, "ranker": dict(self.ranker), **asked}


def learn_fusion(
    lineup: Lineup, choice: Choice, allowed: AllowCurrent, queries_count: int, earlier_of: EarlierOf
) -> Learnt:
    """Compare all ways on the questions of the slice and fit the best one on all of them.

    Trees learn from those of `earlier_of` too.
    """
    if not choice.can_judge:
        return _untrained(lineup, choice.struck)
    with choice.budget.step("features"):
        affordable, us = _affordable(lineup, choice, queries_count)
        wanted = min(affordable, len(choice.questions))
        questions = choice.questions.sample(wanted, np.random.default_rng(choice.seed))
        examples = examples_of(lineup, questions)
    with choice.budget.step("earlier"):
        before = _earlier_wanted(choice, affordable, len(questions))
        examples = replace(examples, earlier=earlier_of(before) if before else None)
    told: dict[str, Any] = {
        "questions": len(questions),
        "features_us": us,
        "candidates": round(len(examples.items) / len(questions), 1),
        "reachable": round(float(examples.can_teach.mean()), 4),
        "earlier": len(examples.earlier.questions) if examples.earlier else 0,
    }
    with choice.budget.step("linear"):
        linear = _linear(examples, choice)
    with choice.budget.step("ranker"):
        if "fusion" in choice.manifest:
            decided = _Decided.of(choice.manifest["fusion"])
        else:
            decided = _decide(lineup, examples, choice, linear, allowed, told)
        ensemble = _fitted(examples, decided, choice.seed)
    choice.tell(f"ranked by {decided.by}, struck: {decided.struck}: {told}")
    fusion = Fusion(decided.by, decided.struck, ensemble, linear)
    trees = decided.trees if decided.by == TREES else 0
    return Learnt(fusion, trees, wanted, before if examples.earlier else 0, decided.ranker, told)


def _affordable(lineup: Lineup, choice: Choice, queries_count: int) -> tuple[int, int]:
    """How many questions there is time to learn from, and the microseconds that the features of one take.

    Never fewer than trees need; perhaps more than there are.
    """
    if "fusion" in choice.manifest:
        return int(choice.manifest["fusion"]["questions"]), 0
    queries = choice.questions.queries
    lineup.table(queries.between(0, min(PROBED, len(queries))))  # compiles
    began = time.perf_counter()
    lineup.table(queries.between(0, min(PROBED, len(queries))))
    each_s = (time.perf_counter() - began) / min(PROBED, len(queries))
    choice.budget.reserved_s = queries_count * each_s * ANSWER_TO_FEATURES
    affordable = int(choice.budget.to_learn_s / (each_s * LEARN_TO_FEATURES))
    return max(affordable, 4 * QUESTIONS_FOR_TREES), round(each_s * 1e6)


def _earlier_wanted(choice: Choice, affordable: int, questions: int) -> int:
    """How many questions of an earlier slice to learn from: as many as there are of the newest, where these are few."""
    if "fusion" in choice.manifest:
        return int(choice.manifest["fusion"].get("earlier", 0))
    return questions if questions < EARLIER_BELOW and affordable >= 2 * questions else 0


def _linear(examples: Examples, choice: Choice) -> LinearFusion:
    """From a part of the questions: a few weights need no more, and the grid is long."""
    generator = np.random.default_rng(choice.seed)
    wanted = np.zeros(len(examples.questions), bool)
    wanted[generator.permutation(len(wanted))[:LINEAR_ON]] = True
    return fit_linear(examples.only(wanted))


def examples_of(lineup: Lineup, questions: Questions) -> Examples:
    """The candidates of all questions with their features, table by table."""
    tables = [
        lineup.table(questions.queries.between(first, min(first + TABLED_AT_ONCE, len(questions))))
        for first in range(0, len(questions), TABLED_AT_ONCE)
    ]
    return Examples.of(tables, questions)


@dataclass(frozen=True, slots=True)
class _Decided:
    by: str
    struck: Struck
    trees: int
    ranker: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> _Decided:
        struck = cast(Struck, manifest["struck"])
        return cls(str(manifest["by"]), struck, int(manifest["trees"]), manifest.get("ranker", {}))


def _decide(
    lineup: Lineup,
    examples: Examples,
    choice: Choice,
    linear: LinearFusion,
    allowed: AllowCurrent,
    told: dict[str, Any],
) -> _Decided:
    """Which way is best on the questions, by trees that had not seen them; adds the figures to `told`."""
    questions = examples.questions
    answers = {each.name: lineup.top(each, questions.queries, K) for each in lineup.sources}
    answers[LINEAR] = examples.ranked(linear.scores(examples.rows, examples.names))
    trees, ranker = 0, cast(Mapping[str, Any], {})
    if examples.can_teach.sum() >= QUESTIONS_FOR_TREES:
        plain = RankerPolicy(seed=choice.seed, trees_max=choice.trees_max)
        tried = [plain, replace(plain, **BOLD)]
        policy, judged = best_policy(examples, tried, choice.budget.to_learn_s)
        trees, ranker = round(judged.trees * GROWTH), BOLD if policy == tried[1] else {}
        answers[TREES] = judged.ranked
        told |= {"by_trees": judged.by_trees, "ranker": ranker}
    epochs = 0
    if choice.with_mlp and trees:
        policy_of_mlp, seconds_max = MlpPolicy(seed=choice.seed), choice.budget.to_learn_s
        network = ranker_mlp.judge_by_halves(examples, policy_of_mlp, seconds_max)
        epochs, answers[MLP] = network.epochs, network.ranked
        told |= {"by_epochs": network.by_epochs}
    figures = {name: measure(ranked, questions) for name, ranked in answers.items()}
    told |= {name: [round(value, 4) for value in measured] for name, measured in figures.items()}
    by = max(figures, key=lambda name: figures[name].score)
    struck = struck_by_validation(answers[by], questions, choice.struck, lineup.items_count, allowed)
    return _Decided(by, struck, trees, {"epochs": epochs} if by == MLP else ranker)


def _fitted(examples: Examples, decided: _Decided, seed: int) -> TreeEnsemble | Mlp | None:
    """What was decided for, of all questions; None where nothing is to be fitted."""
    if decided.by == TREES:
        return fit(examples, RankerPolicy(seed=seed, **decided.ranker), decided.trees)
    if decided.by == MLP:
        return ranker_mlp.fit(examples, MlpPolicy(seed=seed), **decided.ranker)
    return None


def struck_by_validation(answers: Ids, questions: Questions, struck: Struck, items_count: int, allowed: str) -> Struck:
    """Under `auto`: whether answers without the current item are better than with it."""
    if allowed != "auto" or struck != "nothing":
        return struck
    without = first_kept(answers, questions.queries, "current", items_count, answers.shape[1])
    gain = scores_of(by_question(answers, questions)) - scores_of(by_question(without, questions))
    return "nothing" if gain.mean() > 0 else "current"


def _untrained(lineup: Lineup, struck: Struck) -> Learnt:
    """Equal weights for all sources: there is nothing to choose by."""
    linear = LinearFusion.of(tuple((name, 1.0) for name in features_of(lineup.features)))
    return Learnt(Fusion(LINEAR, struck, None, linear))
