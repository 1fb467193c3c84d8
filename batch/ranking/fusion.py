"""Which way of ranking the candidates is the best: trees, a weighted sum, or one source alone?"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np

from batch.ranking.history import Questions
from batch.ranking.linear import fit_linear
from batch.ranking.lineup import SHARE_REFIT, Choice
from batch.ranking.measures import by_question, measure, scores_of
from batch.ranking.ranker import GROWTH, Examples, K, RankerPolicy, fit, judge_by_halves
from batch.ranking.striking import AllowCurrent
from domain.recommenders.lineup.candidates import Lineup
from domain.recommenders.lineup.fusion import LINEAR, TREES, Fusion
from domain.recommenders.lineup.linear import LinearFusion, features_of
from domain.recommenders.lineup.queries import Ids
from domain.recommenders.lineup.striking import Struck, first_kept

TABLED_AT_ONCE: Final = 2048
PROBED: Final = 512
ANSWER_TO_FEATURES: Final = 1.5
LEARN_TO_FEATURES: Final = 3.0
"""How long answering a query, and learning from a question, take for each second that its features take."""
QUESTIONS_FOR_TREES: Final = 300
"""Below so many questions with their answer among the candidates no trees are grown."""


@dataclass(frozen=True, slots=True, eq=False)
class Learnt:
    """How candidates are ranked, with the figures that chose it."""

    fusion: Fusion
    trees: int = 0
    questions: int = 0  # how many were wanted to learn from
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def manifest(self) -> dict[str, Any]:
        """What was decided."""
        fusion = self.fusion
        return {"by": fusion.by, "struck": fusion.struck, "trees": self.trees, "questions": self.questions}


def learn_fusion(lineup: Lineup, choice: Choice, allowed: AllowCurrent, queries_count: int) -> Learnt:
    """Compare all ways on the questions of the slice and fit the best one on all of them."""
    if not choice.can_judge:
        return _untrained(lineup, choice.struck)
    with choice.budget.step("features"):
        wanted, us = _affordable(lineup, choice, queries_count)
        questions = choice.questions.sample(wanted, np.random.default_rng(choice.seed))
        examples = examples_of(lineup, questions)
    told: dict[str, Any] = {
        "questions": len(questions),
        "features_us": us,
        "candidates": round(len(examples.items) / len(questions), 1),
        "reachable": round(float(examples.can_teach.mean()), 4),
    }
    policy = RankerPolicy(seed=choice.seed)
    with choice.budget.step("ranker"):
        linear = fit_linear(examples)
        if "fusion" in choice.manifest:
            given = choice.manifest["fusion"]
            by, struck, trees = str(given["by"]), cast(Struck, given["struck"]), int(given["trees"])
        else:
            by, struck, trees = _decide(lineup, choice, examples, linear, allowed, policy, told)
        ensemble = fit(examples, policy, trees) if by == TREES else None
    choice.tell(f"ranked by {by}, struck: {struck}: {told}")
    return Learnt(Fusion(by, struck, ensemble, linear), trees if by == TREES else 0, wanted, told)


def _affordable(lineup: Lineup, choice: Choice, queries_count: int) -> tuple[int, int]:
    """How many questions there is time to learn from, and the microseconds that the features of one take.

    Half of the time that answering and the training after the cut leave; never fewer than trees need.
    """
    if "fusion" in choice.manifest:
        return int(choice.manifest["fusion"]["questions"]), 0
    queries = choice.questions.queries
    lineup.table(queries.between(0, min(PROBED, len(queries))))  # compiles
    began = time.perf_counter()
    lineup.table(queries.between(0, min(PROBED, len(queries))))
    each_s = (time.perf_counter() - began) / min(PROBED, len(queries))
    left_s = choice.budget.left_s * (1 - SHARE_REFIT) - queries_count * each_s * ANSWER_TO_FEATURES
    affordable = int(left_s / 2 / (each_s * LEARN_TO_FEATURES))
    return int(np.clip(affordable, 4 * QUESTIONS_FOR_TREES, len(queries))), round(each_s * 1e6)


def examples_of(lineup: Lineup, questions: Questions) -> Examples:
    """The candidates of all questions with their features, table by table."""
    tables = [
        lineup.table(questions.queries.between(first, min(first + TABLED_AT_ONCE, len(questions))))
        for first in range(0, len(questions), TABLED_AT_ONCE)
    ]
    return Examples.of(tables, questions)


def _decide(
    lineup: Lineup,
    choice: Choice,
    examples: Examples,
    linear: LinearFusion,
    allowed: AllowCurrent,
    policy: RankerPolicy,
    told: dict[str, Any],
) -> tuple[str, Struck, int]:
    """Which way is best on the questions, by trees that had not seen them; adds the figures to `told`."""
    questions = examples.questions
    answers = {each.name: lineup.top(each, questions.queries, K) for each in lineup.sources}
    answers["linear"] = examples.ranked(linear.scores(examples.rows, examples.names))
    trees = 0
    if examples.can_teach.sum() >= QUESTIONS_FOR_TREES:
        judged = judge_by_halves(examples, policy)
        trees = round(judged.trees * GROWTH)
        answers["trees"] = judged.ranked
        told["by_trees"] = judged.by_trees
    figures = {name: measure(ranked, questions) for name, ranked in answers.items()}
    told |= {name: [round(value, 4) for value in measured] for name, measured in figures.items()}
    by = max(figures, key=lambda name: figures[name].score)
    return by, struck_by_validation(answers[by], questions, choice.struck, lineup.items_count, allowed), trees


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
