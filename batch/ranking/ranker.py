"""A LambdaMART ranker over the candidates of the sources, learnt from questions that the sources were not trained on.

Burges, "From RankNet to LambdaRank to LambdaMART", MSR-TR-2010-82. Every question counts once for training and once
for judging: the owners of questions are halved, and each half is judged by trees of the other.

Where answers have grades (`domain.objectives`), these are the labels, and a question counts as much as its best answer:
LambdaMART divides by what is best for a question, so that a single answer's grade would say nothing by itself.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from batch.ranking.history import Questions
from batch.ranking.measures import grades_of, measure
from domain.objectives import GRADES
from domain.recommenders.lineup.candidates import Table
from domain.recommenders.lineup.fusion import Scores, best_of
from domain.recommenders.lineup.queries import Ids
from domain.recommenders.lineup.workers import in_slices
from domain.recommenders.tree_ensemble import TreeEnsemble

if TYPE_CHECKING:
    import lightgbm as lgb

K: Final = 21
CHECKPOINTS: Final = (40, 70, 100, 150, 200, 300, 400)
BOLD: Final[Mapping[str, Any]] = {"leaves": 31, "learning_rate": 0.06}
"""For many questions; of few such trees learn too much by heart."""
CHECKPOINTS_WITHOUT_GAIN: Final = 2
TREES_AT_ONCE: Final = 10
"""Between two looks at the clock."""
GROWTH: Final = 1.3
"""All questions bear more trees than half of them do."""

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RankerPolicy:
    """Parameters of the trees."""

    leaves: int = 15
    learning_rate: float = 0.04
    rows_per_leaf_min: int = 50
    features_share: float = 0.3  # 0.25 was as good as 0.5, in half the time
    rows_share: float = 0.8
    regularisation: float = 5.0
    bins: int = 127
    bags: int = 1  # rankers of different seeds whose scores are added
    trees_max: int = 400
    seed: int = 1
    threads: int = 1  # of each half and bag; these grow side by side


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Rows of the tables of questions, under one rule for all: [rows, features] with the bounds of each question."""

    rows: npt.NDArray[np.float32]
    items: Ids  # [rows]
    labels: npt.NDArray[np.int8]  # [rows], grades
    offsets: npt.NDArray[np.int64]  # [questions + 1]
    names: tuple[str, ...]
    questions: Questions
    earlier: Examples | None = None  # learnt from by every half, and never judged

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
            labels.append(grades_of(table.candidates, part)[valid])
            counts.append(valid.sum(axis=1))
        offsets = np.concatenate(([0], np.cumsum(np.concatenate(counts)))).astype(np.int64)
        names = tables[0].names
        return cls(np.concatenate(rows), np.concatenate(items), np.concatenate(labels), offsets, names, questions)

    @property
    def can_teach(self) -> Bools:
        """[questions], whether what came next is among the candidates: of the others nothing can be learnt."""
        return np.add.reduceat(np.append(self.labels, 0), self.offsets[:-1]) * (np.diff(self.offsets) > 0) > 0

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """[rows], how much the question of each counts."""
        weights = self.questions.weights
        return np.repeat(np.ones(len(self.questions)) if weights is None else weights, np.diff(self.offsets))

    def only(self, questions: Bools) -> Examples:
        """The examples of some of the questions."""
        rows = np.repeat(questions, np.diff(self.offsets))
        counts = np.diff(self.offsets)[questions]
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        part = self.questions.part(np.flatnonzero(questions))
        return Examples(self.rows[rows], self.items[rows], self.labels[rows], offsets, self.names, part)

    def ranked(self, scores: Scores, k: int = K) -> Ids:
        """The best `k` candidates of each question by the scores of its rows, -1 where there are no more."""
        return best_of(self.offsets, self.items, scores, k)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the halves said: how many trees, and the answers by trees that had not seen the question."""

    trees: int
    ranked: Ids  # [questions, K]
    by_trees: dict[int, float]

    @property
    def score(self) -> float:
        """The `Measured.score` of the answers."""
        return self.by_trees[self.trees]


def best_policy(
    examples: Examples, policies: Sequence[RankerPolicy], seconds_max: float = math.inf
) -> tuple[RankerPolicy, Judged]:
    """The policy whose trees answer the halves best; the first one is always tried, the others while there is time."""
    until = time.perf_counter() + seconds_max
    best = policies[0], judge_by_halves(examples, policies[0], seconds_max)
    for policy in policies[1:]:
        began = time.perf_counter()
        if began > until - seconds_max / 2:
            break
        judged = judge_by_halves(examples, policy, until - began)
        if judged.score > best[1].score:
            best = policy, judged
    return best


def judge_by_halves(examples: Examples, policy: RankerPolicy, seconds_max: float = math.inf) -> Judged:
    """Fit on each half, judge on the other, until more trees make it worse or the time is up.

    `seconds_max` also has to hold what `fit` takes afterwards. Raises `ValueError` when a half teaches nothing.
    """
    until = time.perf_counter() + seconds_max / (1 + 2 * GROWTH)
    owners = np.unique(examples.questions.owners)
    first = np.random.default_rng(policy.seed).permutation(owners)[: len(owners) // 2]
    is_first = np.isin(examples.questions.owners, first)
    halves = [_Half.of(examples, is_first, policy), _Half.of(examples, ~is_first, policy)]
    means: dict[int, float] = {}
    best = Judged(0, np.empty((0, K), np.int32), means)
    for count in [count for count in CHECKPOINTS if count <= policy.trees_max] or [policy.trees_max]:
        grown = _grow_together(halves, count, until, has_enough=bool(means))
        if grown < count and means:
            break
        scores = np.zeros(len(examples.items))
        for half in halves:
            scores[half.asked] = half.scores(examples.names)
        ranked = examples.ranked(scores)
        means[grown] = round(measure(ranked, examples.questions).score, 4)
        if means[grown] > max([mean for trees, mean in means.items() if trees != grown], default=-1.0):
            best = Judged(grown, ranked, means)
        if grown < count or len([trees for trees in means if trees > best.trees]) >= CHECKPOINTS_WITHOUT_GAIN:
            break
    return best


@dataclass(slots=True, eq=False)
class _Half:
    """Trees grown on one half of the questions, and what they say of the rows of the other."""

    booster: lgb.Booster
    asked: Bools  # [rows of all questions]
    rows: npt.NDArray[np.float32]  # of those asked
    total: Scores  # of those asked, by the trees counted so far
    counted: int = 0

    @classmethod
    def of(cls, examples: Examples, learns: Bools, policy: RankerPolicy) -> _Half:
        asked = np.repeat(~learns, np.diff(examples.offsets))
        booster = _booster(examples, learns, policy, policy.seed)
        return cls(booster, asked, examples.rows[asked], np.zeros(int(asked.sum())))

    def scores(self, names: tuple[str, ...]) -> Scores:
        """By all trees grown so far."""
        grown = self.booster.dump_model(start_iteration=self.counted)["tree_info"]
        self.total = self.total + np.concatenate(in_slices(TreeEnsemble.of(names, grown).scores, self.rows))
        self.counted += len(grown)
        return self.total


def _grow_together(halves: Sequence[_Half], count: int, until: float, *, has_enough: bool) -> int:
    """Grow each half to `count` trees; fewer when the time is up. Returns how many there are."""
    grown = halves[0].booster.current_iteration()
    while grown < count and (time.perf_counter() < until or not (has_enough or grown)):
        some = min(TREES_AT_ONCE, count - grown)
        _side_by_side([half.booster for half in halves], some)
        grown += some
    return grown


def _side_by_side(boosters: Sequence[lgb.Booster], trees: int) -> None:
    """Grow each by so many trees, on a thread of its own: threads that share a tree wait for each other too often."""
    with ThreadPoolExecutor(len(boosters)) as pool:
        list(pool.map(partial(_grow, trees=trees), boosters))


def _grow(booster: lgb.Booster, trees: int) -> None:
    _silence_this_thread()
    for _ in range(trees):
        booster.update()


def _silence_this_thread() -> None:
    """LightGBM keeps by thread how much it tells; making any set of rows tells it."""
    import lightgbm as lgb

    lgb.Dataset(np.zeros((1, 1)), params={"verbose": -1}).construct()


def fit(examples: Examples, policy: RankerPolicy, trees: int) -> TreeEnsemble:
    """Trees of all questions, as arrays: `bags` rankers of as many trees each, one after another."""
    everyone = np.ones(len(examples.questions), bool)
    boosters = [_booster(examples, everyone, policy, policy.seed + bag) for bag in range(policy.bags)]
    _side_by_side(boosters, trees)
    return TreeEnsemble.of(examples.names, [tree for each in boosters for tree in each.dump_model()["tree_info"]])


def _booster(examples: Examples, learns: Bools, policy: RankerPolicy, seed: int) -> lgb.Booster:
    """A booster without trees yet."""
    import lightgbm as lgb

    chosen = learns & examples.can_teach
    if not chosen.any():
        raise ValueError("no question of this half has its answer among the candidates")
    taught = [examples.only(chosen)]
    if examples.earlier is not None:
        taught.insert(0, examples.earlier.only(examples.earlier.can_teach))
    rows = lgb.Dataset(
        np.concatenate([each.rows for each in taught]),
        np.concatenate([each.labels for each in taught]),
        group=np.concatenate([np.diff(each.offsets) for each in taught]),
        weight=np.concatenate([each.weights for each in taught]),
        feature_name=list(examples.names),
        params={"max_bin": policy.bins, "verbose": -1, "num_threads": policy.threads},
        free_raw_data=True,
    )
    return lgb.Booster(_parameters(policy, seed), rows)


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
        "label_gain": list(range(GRADES + 1)),
        "max_bin": policy.bins,
        "num_threads": policy.threads,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
