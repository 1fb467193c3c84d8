"""What may be declared, and that every refusal names the place and says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from domain.experiments.declaration import BadExperiments, read_declaration
from domain.slates import Source
from tests.declared import arm, as_file, declared, experiment


def refusal(*experiments: dict[str, Any]) -> BadExperiments:
    with pytest.raises(BadExperiments) as caught:
        declared(*experiments)
    return caught.value


def test_an_arm_may_change_the_model_the_weights_and_the_policy() -> None:
    policy = {"category_cap": 3, "explore": {"slots": 2, "rate": 0.2}}
    treatment = arm("treatment", 0.5, model="2026-11-01", weights={"trending": 0.5}, policy=policy)
    found = declared(experiment("all", arms=[arm("control", 0.5), treatment]))
    (one,) = found.experiments
    assert one.control == "control"
    assert one.arms[0].changes == ()
    assert one.arms[1].changes == ("model", "policy.category_cap", "policy.explore", "weights.trending")
    assert one.arms[1].weights == {Source.TRENDING: 0.5}
    assert found.models == {"2026-11-01"}
    assert found.named("all") is one
    assert found.named("none") is None


def test_no_experiments_are_a_declaration_too() -> None:
    assert declared().experiments == ()


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"arms": [arm("only", 1.0)]}, "experiments[0].arms"),
        ({"arms": [arm("Control", 0.5), arm("b", 0.5)]}, "experiments[0].arms[0].name"),
        ({"arms": [arm("a", 0.0), arm("b", 1.0)]}, "experiments[0].arms[0].share"),
        ({"arms": [arm("a", 0.5, weights={"friends": 1}), arm("b", 0.5)]}, "experiments[0].arms[0]"),
        ({"arms": [arm("a", 0.5, weights={"trending": -1}), arm("b", 0.5)]}, "experiments[0].arms[0].weights[...]"),
        ({"arms": [arm("a", 0.5, policy={"explore": {"rate": 0.9}}), arm("b", 0.5)]}, "policy.explore.rate"),
        ({"arms": [arm("a", 0.5, policy={"cap": 3}), arm("b", 0.5)]}, "experiments[0].arms[0].policy"),
        ({"traffic": [0.0, 1.5]}, "experiments[0].traffic[1]"),
        ({"colour": "red"}, "experiments[0]"),
    ],
)
def test_what_the_types_forbid_is_named_by_its_place(fields: dict[str, Any], place: str) -> None:
    assert place in refusal(experiment(**fields)).setting


def test_what_is_not_json_is_said_so() -> None:
    with pytest.raises(BadExperiments, match=r"experiments\.json: not JSON"):
        read_declaration(b'{"experiments": [', "experiments.json")


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    error = refusal(experiment(arms=[arm("a", 0.5), arm("b", 0.4)]))
    assert error.setting == "experiments.json at weights.arms"
    assert (error.problem, "traffic" in error.remedy) == ("the shares sum to 0.9", True)


def test_names_stand_once() -> None:
    assert (
        "two called twin" in refusal(experiment("twin", traffic=[0, 0.5]), experiment("twin", traffic=[0.5, 1])).problem
    )
    assert "two are called a" in refusal(experiment(arms=[arm("a", 0.5), arm("a", 0.5)])).problem


def test_an_empty_part_of_a_layer_is_refused() -> None:
    assert refusal(experiment(traffic=[0.2, 0.2])).setting.endswith("weights.traffic")


def test_experiments_of_one_layer_must_not_overlap() -> None:
    error = refusal(experiment("a", traffic=[0.1, 0.3]), experiment("b", traffic=[0.0, 0.2]))
    assert error.remedy == "let a begin at 0.2 or later"
    declared(experiment("a", traffic=[0.2, 0.3]), experiment("b", traffic=[0.0, 0.2]))
    declared(experiment("a", layer="one"), experiment("b", layer="two"))


def test_two_layers_must_not_change_the_same_thing() -> None:
    changing = [arm("control", 0.5), arm("treatment", 0.5, weights={"trending": 0.5})]
    error = refusal(experiment("a", layer="one", arms=changing), experiment("b", layer="two", arms=changing))
    assert "a in the layer one changes weights.trending too" in error.problem
    assert "one layer" in error.remedy


def test_a_server_holds_only_so_many_models() -> None:
    models = [arm(f"m{number}", 0.25, model=f"m{number}") for number in range(4)]
    assert "4 models" in refusal(experiment(arms=models)).problem


def test_the_names_of_an_experiment_and_its_arm_fit_into_one_label() -> None:
    longest = "x" * 31
    found = declared(experiment(longest, arms=[arm(longest, 0.5), arm("b", 0.5)]))
    assert len(f"{found.experiments[0].name}/{found.experiments[0].arms[0].name}") <= 64
    with pytest.raises(BadExperiments):
        read_declaration(as_file(experiment("x" * 32)), "experiments.json")
