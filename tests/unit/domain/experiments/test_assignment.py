"""Who is in which arm: by share, for ever, and by lots that know nothing of each other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from domain.experiments.assigned import UNTREATED, AssignedArm, Exploration
from domain.experiments.assignment import Assignment
from domain.experiments.statistics_ratio import check_ratio
from tests.declared import arm, declared, experiment

VISITORS = [f"visitor-{number}" for number in range(4_000)]


def arms_of(*experiments: dict[str, Any]) -> dict[str, dict[str, str]]:
    """The arm of every visitor in each experiment, where they are in one."""
    assignment = Assignment(declared(*experiments))
    found: dict[str, dict[str, str]] = {each["name"]: {} for each in experiments}
    for visitor in VISITORS:
        for one in assignment.of(visitor).arms:
            found[one.experiment][visitor] = one.arm
    return found


def test_a_visitor_is_in_the_same_arm_in_every_process_and_release() -> None:
    assignment = Assignment(declared(experiment("weights"), experiment("cap", layer="composing", traffic=[0.0, 0.5])))
    found = {visitor: [one.arm for one in assignment.of(visitor).arms] for visitor in ("ada", "bob", "eve")}
    assert found == {"ada": ["control", "control"], "bob": ["treatment"], "eve": ["treatment", "treatment"]}


def test_every_arm_gets_its_share() -> None:
    arms = [arm("a", 0.1), arm("b", 0.3), arm("c", 0.6)]
    found = Counter(arms_of(experiment(arms=arms))["weights"].values())
    assert check_ratio([found["a"], found["b"], found["c"]], [0.1, 0.3, 0.6]).p_value > 0.01


def test_an_experiment_takes_its_part_of_the_layer_and_no_visitor_is_in_two_of_it() -> None:
    found = arms_of(experiment("small", traffic=[0.0, 0.1]), experiment("large", traffic=[0.1, 0.4]))
    small, large = found["small"].keys(), found["large"].keys()
    assert not small & large
    counts = [len(small), len(large), len(VISITORS) - len(small) - len(large)]
    assert check_ratio(counts, [0.1, 0.3, 0.6]).p_value > 0.01


def test_who_is_in_it_stays_in_their_arm_when_an_experiment_grows() -> None:
    before = arms_of(experiment(traffic=[0.2, 0.3]))["weights"]
    after = arms_of(experiment(traffic=[0.2, 0.6]))["weights"]
    assert len(after) > 3 * len(before)
    assert before.items() <= after.items()


def test_when_an_arm_grows_visitors_move_only_into_it() -> None:
    before = arms_of(experiment(arms=[arm("a", 0.8), arm("b", 0.1), arm("c", 0.1)]))["weights"]
    after = arms_of(experiment(arms=[arm("a", 0.6), arm("b", 0.3), arm("c", 0.1)]))["weights"]
    moves = Counter((before[visitor], after[visitor]) for visitor in VISITORS if before[visitor] != after[visitor])
    assert set(moves) <= {("a", "b"), ("c", "b"), ("a", "c")}, "b grew against both, c against a"
    assert 0.2 < sum(moves.values()) / len(VISITORS) < 0.3


def test_the_lots_of_layers_experiments_and_salts_are_independent() -> None:
    halves = [arm("control", 0.5), arm("treatment", 0.5)]
    found = arms_of(experiment("a", layer="one", arms=halves), experiment("b", layer="two", arms=halves))
    again = arms_of(experiment("a", salt="again", arms=halves))["a"]
    for other in (found["b"], again):
        crossed = Counter((found["a"][visitor], other[visitor]) for visitor in VISITORS)
        assert check_ratio(list(crossed.values()), [0.25] * 4).p_value > 0.01


def test_many_experiments_divide_the_same_visitors_as_a_fair_lot_does() -> None:
    some = VISITORS[:60]
    p_values = []
    for number in range(300):
        assignment = Assignment(declared(experiment(f"e{number}")))
        treated = sum(assignment.of(visitor).arms[0].arm == "treatment" for visitor in some)
        p_values.append(check_ratio([treated, len(some) - treated], [0.5, 0.5]).p_value)
    assert min(p_values) > 1e-5
    assert np.mean(np.array(p_values) < 0.05) < 0.1


def test_the_arms_of_all_layers_are_changed_together() -> None:
    change = {"weights": {"trending": 0.5}, "policy": {"explore": {"slots": 2, "rate": 0.25}}}
    one = experiment("one", arms=[arm("a", 0.5, **change), arm("b", 0.5, **change)])
    cap = {"policy": {"category_cap": 3}, "model": "older"}
    two = experiment("two", layer="composing", arms=[arm("c", 0.5, **cap), arm("d", 0.5, **cap)])
    assignment = Assignment(declared(one, two))
    treatment = assignment.of("ada")
    assert [(each.experiment, each.propensity) for each in treatment.arms] == [("two", 0.5), ("one", 0.5)]
    assert treatment.weights == {"trending": 0.5}
    assert (treatment.category_cap, treatment.model) == (3, "older")
    assert treatment.explore == Exploration(2, 0.25)
    assert assignment.of("ada") is treatment, "made once"


def test_a_visitor_in_no_experiment_is_untreated() -> None:
    assert Assignment(declared()).of("ada") is UNTREATED
    assert AssignedArm("e", "a", 1.0) not in UNTREATED.arms
