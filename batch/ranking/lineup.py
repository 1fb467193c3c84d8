"""Which models there are, tuned on a slice and built again on everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import numpy as np

from batch.ranking.budget import Budget
from batch.ranking.history import History, Questions
from batch.ranking.ranker import CHECKPOINTS
from batch.ranking.search import Found
from batch.ranking.tuning import build_covisitation, tune_covisitation, tune_knn
from domain.recommenders.covisitation import CovisitationPolicy
from domain.recommenders.lineup.sources import (
    NEURAL_PROPOSES_MAX,
    CovisitationSource,
    KnnSource,
    NeuralSource,
    PlainSource,
    Source,
)
from domain.recommenders.lineup.striking import Struck
from domain.recommenders.popularity import Popularity
from domain.recommenders.sequential_rules import SequentialRules
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_knn_policy import LONG_HISTORIES, SessionKnnPolicy

if TYPE_CHECKING:
    from batch.training.neural.contract import NeuralPolicy

Tell = Callable[[str], None]
Manifest = Mapping[str, Any]

ENCODERS: Final = {"gru4rec": "gru", "sasrec": "sasrec", "bert4rec": "bert4rec"}
BASELINES: Final = ("popularity", "rules")
SERVED: Final = ("vstan", "covisitation", "gru4rec")
AUTO: Final = (*SERVED, "sasrec")
"""Of the encoders only the first is always trained, another one when the first took little of the time."""

SHARE_KNN: Final = 0.08
SHARE_COVISITATION: Final = 0.04
SHARE_NEURAL: Final = 0.30
SHARE_MORE_NEURAL: Final = 0.22
SHARE_REFIT: Final = 0.6
"""Of the whole time, for tuning and for the trainings before the cut; of what is left, for each training after it."""
MORE_TO_FIRST: Final = 2.5
"""How much longer another encoder takes than the first one."""
TUNING_S_MAX: Final = 150.0
TUNED_ON: Final = 4_000
LONG: Final = 20
"""Sessions with a mean length above this are histories."""
JUDGING_LEAST: Final = 50
STEPS_TO_TRAIN: Final = 500


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """One model as the slice chose it: the source built before the cut, and how to build it on everything.

    `rebuild` also returns what it adds to `manifest`, from which the same source is built again. `anew` builds it on an
    earlier part of the log, of which nothing that it has learnt since may be used.
    """

    name: str
    source: Source
    rebuild: Callable[[History], tuple[Source, dict[str, Any]]]
    anew: Callable[[History], Source]
    manifest: dict[str, Any]
    told: dict[str, Any]

    @property
    def trained_s(self) -> float:
        """Seconds that its training took; of what needs none 0."""
        return float(self.told.get("seconds", 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What models are chosen by: a slice and time, or the manifest of an earlier run.

    Of each half of the questions at most `trees_max` trees are grown. With `with_mlp` a network is judged beside them.
    Of more items than `proposes_max` a trained encoder only judges what the other sources propose.
    """

    known: History
    questions: Questions
    struck: Struck
    budget: Budget
    seed: int
    tell: Tell
    manifest: Manifest
    trees_max: int = CHECKPOINTS[-1]
    with_mlp: bool = False
    proposes_max: int = NEURAL_PROPOSES_MAX

    @property
    def can_judge(self) -> bool:
        """Whether there are enough questions to tell one policy from another."""
        return len(self.questions) >= JUDGING_LEAST


def line_up(known: History, names: Sequence[str]) -> tuple[str, ...]:
    """Of these models those worth building: nothing is trained where there is next to nothing to learn from."""
    steps = len(known.items) - len(known)
    return tuple(name for name in names if name not in ENCODERS or steps >= STEPS_TO_TRAIN)


def choose(name: str, choice: Choice) -> Chosen:
    """Tune and build one model by its name."""
    with choice.budget.step(name):
        if name in BASELINES:
            return _baseline(name, choice)
        if name in ENCODERS:
            return _neural(name, choice)
        return _knn(choice) if name == "vstan" else _covisitation(choice)


def choose_trained(names: Sequence[str], choice: Choice) -> list[Chosen]:
    """Train the first of these encoders, and the others if there is time, or if a manifest says so."""
    trained: list[Chosen] = []
    for name in names:
        if trained and not (name in choice.manifest if choice.manifest else _has_time_for_more(trained[0], choice)):
            continue
        trained.append(choose(name, choice))
    return trained


def _has_time_for_more(first: Chosen, choice: Choice) -> bool:
    return float(first.told["seconds"]) * MORE_TO_FIRST <= choice.budget.total_s * SHARE_MORE_NEURAL


def _baseline(name: str, choice: Choice) -> Chosen:
    def build(history: History) -> Source:
        if name == "rules":
            return PlainSource(SequentialRules.build(history.log, history.items_count), name)
        return PlainSource(Popularity(np.bincount(history.items, minlength=history.items_count)), name)

    return _untrained(name, build, choice, {}, {})


def _untrained(
    name: str, build: Callable[[History], Source], choice: Choice, manifest: dict[str, Any], told: dict[str, Any]
) -> Chosen:
    """A model that a history and a policy determine."""
    return Chosen(name, build(choice.known), lambda history: (build(history), {}), build, manifest, told)


def _knn(choice: Choice) -> Chosen:
    policy, told = _knn_default(choice.known), {}
    if "vstan" in choice.manifest:
        policy = SessionKnnPolicy(**choice.manifest["vstan"])
    elif choice.can_judge:
        seconds = min(choice.budget.total_s * SHARE_KNN, TUNING_S_MAX)
        generator = np.random.default_rng(choice.seed)
        sample = choice.questions.sample(TUNED_ON, generator)
        found = tune_knn(choice.known, sample, choice.struck, seconds_max=seconds, generator=generator)
        policy, told = found.policy, _searched(found)
    choice.tell(f"vstan: {told} {policy}")

    def build(history: History) -> Source:
        return KnnSource(SessionKnn.build(history.log, history.items_count, policy))

    return _untrained("vstan", build, choice, asdict(policy), told)


def _knn_default(history: History) -> SessionKnnPolicy:
    is_long = len(history.items) > LONG * max(len(history), 1)
    return LONG_HISTORIES if is_long else replace(SessionKnnPolicy(), recency_decay_days=history.span_days)


def _covisitation(choice: Choice) -> Chosen:
    policy, told = CovisitationPolicy(recency_decay_days=choice.known.span_days), {}
    if "covisitation" in choice.manifest:
        policy = CovisitationPolicy(**choice.manifest["covisitation"])
    elif choice.can_judge:
        seconds = min(choice.budget.total_s * SHARE_COVISITATION, TUNING_S_MAX)
        generator = np.random.default_rng(choice.seed)
        sample = choice.questions.sample(TUNED_ON, generator)
        found = tune_covisitation(choice.known, sample, choice.struck, seconds_max=seconds, generator=generator)
        policy, told = found.policy, _searched(found)
    choice.tell(f"covisitation: {told} {policy}")

    def build(history: History) -> Source:
        return CovisitationSource(build_covisitation(history, policy))

    return _untrained("covisitation", build, choice, asdict(policy), told)


def _searched(found: Found[Any]) -> dict[str, Any]:
    return {"trials": found.trials, "score": round(found.score, 4), "complete": found.is_complete}


def _neural(name: str, choice: Choice) -> Chosen:
    from batch.training.neural.contract import NeuralPolicy, NextClicks
    from batch.training.neural.train import continue_on, policy_to_continue, train

    given = choice.manifest.get(name)
    policy = NeuralPolicy(**given["policy"]) if given else _neural_policy(name, choice)
    share = SHARE_NEURAL if name == next(each for each in AUTO if each in ENCODERS) else SHARE_MORE_NEURAL
    minutes = None if given else choice.budget.total_s * share / 60
    validation = None
    if choice.can_judge:
        queries = choice.questions.queries
        targets = choice.questions.first_relevant.astype(np.int64)
        validation = NextClicks(queries.offsets, queries.items, targets, choice.struck)
    done = train(choice.known.log, choice.known.items_count, policy, validation, minutes, choice.tell)

    def anew(history: History) -> Source:
        policy = replace(done.policy, epochs=done.epochs_done)
        return NeuralSource(
            train(history.log, history.items_count, policy, None, None, choice.tell).model, choice.proposes_max
        )

    def rebuild(history: History) -> tuple[Source, dict[str, Any]]:
        """Train again on everything if there is time for as many epochs as were best, else go on from the slice's."""
        left_s = choice.budget.left_s * SHARE_REFIT
        growth = len(history.items) / max(len(choice.known.items), 1)
        again = given if given and "refit" in given else None
        is_cut = bool(done.policy.sessions_max or done.policy.steps_max)
        is_anew = again["is_anew"] if again else done.seconds * growth <= left_s and not is_cut
        minutes = None if again else max(left_s / 60, 0.05)
        if is_anew:
            anew = NeuralPolicy(**again["refit"]) if again else replace(done.policy, epochs=done.epochs_done)
            refitted = train(history.log, history.items_count, anew, None, minutes, choice.tell)
        else:
            going_on = NeuralPolicy(**again["refit"]) if again else policy_to_continue(done.policy)
            refitted = continue_on(done.model, history.log, going_on, None, minutes, choice.tell)
        return NeuralSource(refitted.model, choice.proposes_max), {"refit": asdict(refitted.policy), "is_anew": is_anew}

    told = {
        "epochs": done.epochs_done,
        "seconds": round(done.seconds, 1),
        "clicks_per_second": round(done.clicks_per_second),
        "metrics": done.metrics,
    }
    return Chosen(
        name, NeuralSource(done.model, choice.proposes_max), rebuild, anew, {"policy": asdict(done.policy)}, told
    )


def _neural_policy(name: str, choice: Choice) -> NeuralPolicy:
    from batch.training.neural.contract import NeuralPolicy

    encoder = cast(Literal["gru", "sasrec", "bert4rec"], ENCODERS[name])
    return NeuralPolicy(encoder=encoder, seed=choice.seed)
