"""What an answer was worth: what was done with the item from there on, by the weights of the settings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from batch.ranking.measures import measure
from batch.ranking.ranker import Examples, RankerPolicy, fit
from batch.ranking.slices import validation_slice
from batch.training.grades import Grading
from batch.training.line_up import history_of
from batch.training.session_log import Acts, DatedSessions
from domain.objectives import GRADES, Objectives
from domain.policies import DAY_MS
from domain.recommenders.lineup.candidates import Table
from domain.recommenders.session_log import SessionLog
from schemas.events import KINDS, ItemEvent, Kind

VIEW, BOUGHT = 10, 20
ONLY_CLICKS = Objectives(value=0)
NAMES = ("was_bought_before", "is_liked")


def acted(*rows: list[tuple[int, list[tuple[Kind, float]]]]) -> DatedSessions:
    """Sessions of (item, what was done with it), a minute each."""
    log = SessionLog.of((at * DAY_MS + 60_000, [item for item, _ in row]) for at, row in enumerate(rows))
    done = [each for row in rows for _, each in row]
    offsets = np.cumsum([0, *map(len, done)])
    kinds = np.array([KINDS.index(kind) for each in done for kind, _ in each], np.int8)
    values = np.array([value for each in done for _, value in each])
    return DatedSessions(log, log.ended_at_ms - 60_000, acts=Acts(offsets, kinds, values))


def view(item: int) -> tuple[int, list[tuple[Kind, float]]]:
    return item, [("view", 0.0)]


def buy(item: int) -> tuple[int, list[tuple[Kind, float]]]:
    return item, [("purchase", 1.0)]


def grades(sessions: DatedSessions, objectives: Objectives, **items: ItemEvent) -> list[int]:
    assert sessions.acts is not None
    catalogue = {int(name[1:]): item for name, item in items.items()}
    at_ms = history_of(sessions, 5).at_ms
    grading = Grading(sessions, sessions.acts, at_ms, objectives, catalogue)
    found: list[int] = grading(np.arange(len(sessions.log.items))).tolist()
    return found


def test_an_item_is_worth_what_is_done_with_it_from_there_to_the_end_of_the_session() -> None:
    one = acted([view(0), view(1), buy(0)], [(0, [("view", 0.0), ("cart", 1.0)]), (2, [("rating", 4.0)])])
    assert grades(one, Objectives()) == [BOUGHT, VIEW, BOUGHT, 15, 18]
    assert grades(one, ONLY_CLICKS) == [GRADES] * 5


def test_watch_time_completion_diversity_and_freshness_are_read_from_acts_and_catalogue() -> None:
    played = acted([view(0), (1, [("play", 600_000.0)])])
    drama = ItemEvent(item_id="a", categories=("drama",))
    film = ItemEvent(item_id="b", categories=("war",), attributes={"duration_ms": 1_200_000}, published_at_ms=0)
    nothing = Objectives(click=0, value=0, diversity=1)
    for only in (replace(nothing, diversity=0, watch_time=1), replace(nothing, diversity=0, completion=1)):
        assert grades(played, only, i0=drama, i1=film)[1] == GRADES // 2
    for only in (nothing, replace(nothing, diversity=0, freshness=1)):
        assert grades(played, only, i0=drama, i1=film)[1] == GRADES
    assert grades(played, nothing, i0=drama, i1=ItemEvent(item_id="b", categories=("drama",)))[1] == 0


def test_questions_of_a_log_in_which_all_is_worth_the_same_have_no_grades() -> None:
    viewed = acted(*([view(number % 3), view((number + 1) % 3)] for number in range(300)))
    assert validation_slice(history_of(viewed, 3, Objectives())).questions.grades is None
    bought = acted(*([view(number % 3), (buy, view)[number % 2]((number + 1) % 3)] for number in range(300)))
    questions = validation_slice(history_of(bought, 3, Objectives())).questions
    assert questions.grades is not None
    assert set(questions.grades.tolist()) == {VIEW, BOUGHT}
    assert questions.weights is not None
    assert questions.weights.mean() == 1
    some = questions.part(np.arange(0, len(questions), 3))
    assert some.grades is not None
    assert len(some.grades) == len(some)
    assert validation_slice(history_of(bought, 3, ONLY_CLICKS)).questions.grades is None


def two_temptations(objectives: Objectives) -> tuple[Examples, np.ndarray]:
    """Of ten visitors four buy what such visitors bought before, six look at what is liked."""
    rows = [[view(0), buy(1) if number % 10 < 4 else view(2)] for number in range(1_500)]
    questions = validation_slice(history_of(acted(*rows), 3, objectives)).questions
    candidates = np.tile(np.array([1, 2], np.int32), (len(questions), 1))
    features = np.tile(np.eye(2, dtype=np.float32), (len(questions), 1, 1))
    return Examples.of([Table(candidates, features, NAMES)], questions), features[0]


def test_a_heavier_weight_on_purchases_moves_what_is_bought_up() -> None:
    """By clicks the liked item comes first; when a purchase is worth ten looks, the bought one does."""
    policy = RankerPolicy(rows_per_leaf_min=5, features_share=1.0, rows_share=1.0)
    leads = {}
    for name, objectives in (("clicks", ONLY_CLICKS), ("value", Objectives(click=1, value=9))):
        examples, rows = two_temptations(objectives)
        bought, liked = fit(examples, policy, 20).scores(rows)
        leads[name] = bought - liked
        by_bought = measure(np.tile(np.array([[1, 2]]), (len(examples.questions), 1)), examples.questions)
        by_liked = measure(np.tile(np.array([[2, 1]]), (len(examples.questions), 1)), examples.questions)
        assert (by_bought.score > by_liked.score) == (name == "value")
    assert leads["clicks"] < 0 < leads["value"]
