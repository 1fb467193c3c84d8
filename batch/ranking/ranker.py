"""A LambdaMART ranker over the candidates of the sources, learnt from questions that the sources were not trained on.

Burges, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82. Every question counts once for training and once
for judging: the owners of questions are halved, and each half is judged by trees of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from batch.ranking.history import Questions
from batch.ranking.measures import by_question, is_relevant, scores_of
from domain.recommenders.lineup.candidates import Table
from domain.recommenders.lineup.fusion import Scores, best_of
from domain.recommenders.lineup.queries import Ids
from domain.recommenders.lineup.workers import in_slices
from domain.recommenders.tree_ensemble import TreeEnsemble

if TYPE_CHECKING:
    import lightgbm as lgb

K: Final = 21
CHECKPOINTS: Final = (40, 70, 100, 150, 200, 300, 400)
GROWTH: Final = 1.3
"""All questions bear more trees than half of them do."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RankerPolicy:
    """Parameters of the trees."""

    leaves: int = 31
    learning_rate: float = 0.06
    rows_per_leaf_min: int = 50
    features_share: float = 0.5
    rows_share: float = 0.8
    regularisation: float = 5.0
    bins: int = 127
    bags: int = 1  # rankers of different seeds whose scores are added
    trees_max: int = 400
    seed: int = 1
    threads: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Rows of the tables of questions, under one rule for all: [rows, features] with the bounds of each question."""

    rows: npt.NDArray[np.float32]
    items: Ids  # [rows]
    labels: npt.NDArray[np.int8]  # [rows]
    offsets: npt.NDArray[np.int64]  # [questions + 1]
    names: tuple[str, ...]
    questions: Questions

    @classmethod
    def of(cls, tables: Sequence[Table], questions: Questions) -> Examples:
        """From tables that together hold the candidates of all questions, in their order."""
        rows: list[npt.NDArray[np.float32]] = []
        items: list[Ids] = []
        counts: list[npt.NDArray[np.int64]] = []
        labels: list[npt.NDArray[np.int8]] = []
        first = 0
        for table in tables:
            valid = table.candidates >= 0
            part = questions.part(np.arange(first, first + len(valid)))
            first += len(valid)
            rows.append(table.features[valid])
            items.append(table.candidates[valid])
            labels.append(is_relevant(table.candidates, part)[valid].astype(np.int8))
            counts.append(valid.sum(axis=1))
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(counts)))).astype(np.int64)
        names = tables[0].names
        return cls(np.concatenate(rows), np.concatenate(items), np.concatenate(labels), offsets, names, questions)

    @property
    def can_teach(self) -> Bools:
        """[questions], whether what came next is among the candidates: of the others nothing can be learnt."""
        return np.add.reduceat(np.append(self.labels, 0), self.offsets[:-1]) * (np.diff(self.offsets) > 0) > 0

    def ranked(self, scores: Scores, k: int = K) -> Ids:
        """The best `k` candidates of each question by the scores of its rows, -1 where there are no more."""
        return best_of(self.offsets, self.items, scores, k)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the halves said: how many trees, and the answers by trees that had not seen the question."""

    trees: int
    ranked: Ids  # [questions, K]
    by_trees: dict[int, float]


def judge_by_halves(examples: Examples, policy: RankerPolicy) -> Judged:
    """Fit on each half, judge on the other; raises `ValueError` when a half teaches nothing."""
    owners = np.unique(examples.questions.owners)
    half = np.random.default_rng(policy.seed).permutation(owners)[: len(owners) // 2]
    is_first = np.isin(examples.questions.owners, half)
    checkpoints = [count for count in CHECKPOINTS if count <= policy.trees_max] or [policy.trees_max]
    row_is_first = np.repeat(is_first, np.diff(examples.offsets))
    scores = {count: np.zeros(len(examples.items)) for count in checkpoints}
    for learns, asked in ((is_first, ~row_is_first), (~is_first, row_is_first)):
        booster = _fit(examples, learns, policy, max(checkpoints), policy.seed)
        total, done = np.zeros(int(asked.sum())), 0
        rows = examples.rows[asked]
        trees = booster.dump_model()["tree_info"]
        for count in checkpoints:
            part = TreeEnsemble.of(examples.names, trees[done:count])
            total = total + np.concatenate(in_slices(part.scores, rows))
            scores[count][asked], done = total, count
    means = {
        count: float(scores_of(by_question(examples.ranked(scores[count]), examples.questions)).mean())
        for count in checkpoints
    }
    best = max(checkpoints, key=lambda count: (round(means[count], 4), -count))
    return Judged(best, examples.ranked(scores[best]), {count: round(mean, 4) for count, mean in means.items()})


def fit(examples: Examples, policy: RankerPolicy, trees: int) -> TreeEnsemble:
    """Trees of all questions, as arrays: `bags` rankers of as many trees each, one after another."""
    everyone = np.ones(len(examples.questions), bool)
    boosters = [_fit(examples, everyone, policy, trees, policy.seed + bag) for bag in range(policy.bags)]
    return TreeEnsemble.of(examples.names, [tree for each in boosters for tree in each.dump_model()["tree_info"]])


def _fit(examples: Examples, learns: Bools, policy: RankerPolicy, trees: int, seed: int) -> lgb.Booster:
    import lightgbm as lgb

    chosen = learns & examples.can_teach
    if not chosen.any():
        raise ValueError("no question of this half has its answer among the candidates")
    kept = np.repeat(chosen, np.diff(examples.offsets))
    rows = lgb.Dataset(
        examples.rows[kept],
        examples.labels[kept],
        group=np.diff(examples.offsets)[chosen],
        feature_name=list(examples.names),
        params={"max_bin": policy.bins, "verbose": -1, "num_threads": policy.threads},
        free_raw_data=True,
    )
    return lgb.train(_parameters(policy, seed), rows, num_boost_round=trees)


def _parameters(policy: RankerPolicy, seed: int) -> dict[str, Any]:
    return {
        "objective": "lambdarank",
        "num_leaves": policy.leaves,
        "learning_rate": policy.learning_rate,
        "min_data_in_leaf": policy.rows_per_leaf_min,
        "feature_fraction": policy.features_share,
        "bagging_fraction": policy.rows_share,
        "bagging_freq": 1,
        "lambda_l2": policy.regularisation,
        "lambdarank_truncation_level": 20,
        "max_bin": policy.bins,
        "num_threads": policy.threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
