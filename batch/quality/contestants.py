"""The models that an evaluation compares: how each is built from the sessions that had ended before the cut.

A new model is one more entry of `CONTESTANTS`; everything else (figures, report, MLflow) follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from batch.training.models import baselines
from batch.training.session_log import DatedSessions
from domain.recommenders.covisitation import Covisitation
from domain.recommenders.protocol import Recommender
from domain.recommenders.session_knn import SessionKnn
from domain.recommenders.session_knn_policy import SessionKnnPolicy
from schemas.errors import ContractError

if TYPE_CHECKING:
    from domain.recommenders.neural_encoders import EncoderKind


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What a model may learn from, and for how long."""

    known: DatedSessions
    items_count: int
    at_ms: int  # everything known ended before it
    policy: SessionKnnPolicy
    minutes_max: float = 5.0  # of training, for each model that trains
    seed: int = 20


Build = Callable[[Lesson], Recommender]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A model by name. `is_quick`: built within seconds, so that it takes part unless told otherwise."""

    build: Build
    is_quick: bool = True


class UnknownModel(ContractError):
    """There is no such model to evaluate."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"there is no model {name!r}; name some of {', '.join(CONTESTANTS)}")


def chosen(names: str) -> dict[str, Contestant]:
    """The contestants by a list such as `popularity,session_knn`; `quick` and `all` stand for several.

    The popularity is always among them: surprise is measured against it. Raises UnknownModel.
    """
    wanted = {"popularity"}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in ("quick", "all", *CONTESTANTS):
            raise UnknownModel(name)
        wanted |= {
            each for each, model in CONTESTANTS.items() if name in ("all", each) or (name == "quick" and model.is_quick)
        }
    return {name: model for name, model in CONTESTANTS.items() if name in wanted}


def _baseline(name: str) -> Build:
    return lambda lesson: baselines(lesson.known, lesson.items_count, lesson.at_ms)[name]


def _session_knn(lesson: Lesson) -> Recommender:
    return SessionKnn.build(lesson.known.log, lesson.items_count, lesson.policy)


def _covisitation(lesson: Lesson) -> Recommender:
    return Covisitation.build(lesson.known.log, lesson.items_count)


def _neural(encoder: EncoderKind) -> Build:
    def build(lesson: Lesson) -> Recommender:
        from batch.training.neural.contract import NeuralPolicy  # brings torch
        from batch.training.neural.train import train

        policy = NeuralPolicy(encoder=encoder, seed=lesson.seed)
        return train(lesson.known.log, lesson.items_count, policy, minutes_max=lesson.minutes_max).model

    return build


def _als(lesson: Lesson) -> Recommender:
    from batch.training.als import AlsPolicy, counts_of_log, train_apart  # starts Spark

    counts = counts_of_log(lesson.known.log, lesson.known.visitors)
    return train_apart(counts, lesson.items_count, AlsPolicy(seed=lesson.seed))


def _line_up(lesson: Lesson) -> Recommender:
    from batch.training.line_up import LineUp  # brings torch and LightGBM

    line_up = LineUp(lesson.known, lesson.items_count, lesson.minutes_max, lambda _: None)
    return line_up.build()[0]


CONTESTANTS: Final[Mapping[str, Contestant]] = {
    "popularity": Contestant(_baseline("popularity")),
    "sequential_rules": Contestant(_baseline("sequential_rules")),
    "covisitation": Contestant(_covisitation),
    "session_knn": Contestant(_session_knn),
    "als": Contestant(_als, is_quick=False),
    "gru4rec": Contestant(_neural("gru"), is_quick=False),
    "sasrec": Contestant(_neural("sasrec"), is_quick=False),
    "bert4rec": Contestant(_neural("bert4rec"), is_quick=False),
    "line_up": Contestant(_line_up, is_quick=False),
}
"""In the order of the report."""
