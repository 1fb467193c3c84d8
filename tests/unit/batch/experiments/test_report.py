"""What the report says of worlds of which the truth is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from batch.__main__ import main
from batch.experiments.outcomes import Outcome
from batch.experiments.report import names_in, report
from batch.experiments.table import table
from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import INTERACTIONS
from batch.lake.table import open_table
from domain.experiments.assigned import AssignedArm
from domain.impressions import ImpressionRecord
from domain.reference import LogRecord
from infra.settings import Settings
from schemas.errors import ConfigurationError
from schemas.events import AssignedArm as LoggedArm
from tests.builders import START_MS, impression, interaction, stamp
from tests.declared import arm, as_file, declared, experiment

EXPERIMENT = declared(experiment("weights")).experiments[0]
SHOWN = 10


def outcome(visitor: int, arm_name: str, clicked: int, *, propensity: float = 0.5, **fields: Any) -> Outcome:
    arms = fields.pop("arms", (AssignedArm("weights", arm_name, propensity),))
    converted = fields.pop("converted", 0)
    return Outcome(f"v{visitor}", START_MS + visitor, arms, SHOWN, clicked, converted, fields.pop("explored", ()))


def world(seed: int, rates: dict[str, float], *, visitors: int = 4_000) -> list[Outcome]:
    """Visitors who differ in how many slates they see and how much they click."""
    draws = np.random.default_rng(seed)
    arms = list(rates)
    found = []
    for visitor in range(visitors):
        name = arms[int(draws.integers(len(arms)))]
        rate = float(draws.beta(2, 2 / rates[name] - 2))
        for _ in range(1 + int(draws.poisson(1))):
            clicked = int(draws.binomial(SHOWN, rate))
            found.append(outcome(visitor, name, clicked, converted=int(draws.random() < clicked / 20)))
    return found


def of_metric(found: dict[str, Any], metric: str) -> dict[str, Any]:
    return next(each for each in found["comparisons"] if each["metric"] == metric)


def test_a_planted_lift_is_found_and_told() -> None:
    found = report("weights", world(1, {"control": 0.10, "treatment": 0.13}), EXPERIMENT)
    clicks = of_metric(found, "click_through")
    assert clicks["verdict"] == "better"
    assert clicks["always_valid"]["low"] < 0.03 < clicks["always_valid"]["high"]
    assert clicks["t_test"]["high"] < clicks["always_valid"]["high"]
    assert not found["ratio"]["alarm"]
    assert found["crossed_visitors"] == 0
    assert clicks["visitors_needed"] > 100
    assert "click-through rate of treatment: +" in table(found)


def test_the_totals_of_an_arm_are_those_of_its_slates() -> None:
    slates = world(2, {"control": 0.10, "treatment": 0.10}, visitors=300)
    found = report("weights", slates, EXPERIMENT)["arms"]["control"]
    mine = [one for one in slates if one.arms[0].arm == "control"]
    assert found["slates"] == len(mine)
    assert found["clicked"] == sum(one.clicked for one in mine)
    assert found["click_through"] == pytest.approx(found["clicked"] / found["shown"])
    assert found["visitors"] == len({one.visitor_id for one in mine})


def test_without_a_difference_it_stays_undecided() -> None:
    found = report("weights", world(3, {"control": 0.1, "treatment": 0.1}, visitors=1_000), EXPERIMENT)
    assert {each["verdict"] for each in found["comparisons"]} == {"undecided"}


def test_arms_that_lost_visitors_are_an_alarm_and_nothing_else_is_trusted() -> None:
    slates = world(4, {"control": 0.10, "treatment": 0.20}, visitors=2_000)
    kept = [one for one in slates if one.arms[0].arm == "control" or int(one.visitor_id[1:]) % 4]
    found = report("weights", kept, EXPERIMENT)
    assert found["ratio"]["alarm"]
    assert {each["verdict"] for each in found["comparisons"]} == {"not to be trusted"}
    assert "ALARM" in table(found)


def test_an_arm_that_nobody_saw_is_an_alarm_too() -> None:
    found = report("weights", [outcome(number, "control", 0) for number in range(100)], EXPERIMENT)
    assert found["ratio"]["counts"] == {"control": 100, "treatment": 0}
    assert found["ratio"]["alarm"]


def test_a_visitor_who_changed_arms_counts_in_the_first() -> None:
    slates = [outcome(1, "control", 1), outcome(1, "treatment", 9), outcome(2, "treatment", 2)]
    found = report("weights", slates, EXPERIMENT)
    assert found["crossed_visitors"] == 1
    assert [found["arms"][name]["clicked"] for name in ("control", "treatment")] == [1, 2]
    assert "1 visitors saw more than one arm" in table(found)


def test_changed_shares_are_named_and_the_off_policy_estimate_is_right_all_the_same() -> None:
    """On the second, poorer day the treatment got nine of ten: its plain mean suffers, the weighed one does not."""
    draws = np.random.default_rng(5)
    slates = []
    for visitor in range(2_000):
        share, rate = (0.1, 0.3) if visitor < 1_000 else (0.9, 0.1)
        treated = bool(draws.random() < share)
        chance = share if treated else 1 - share
        clicked = int(draws.binomial(SHOWN, rate))
        slates.append(outcome(visitor, "treatment" if treated else "control", clicked, propensity=chance))
    found = report("weights", slates, EXPERIMENT)
    assert "shares were changed" in found["ratio"]["note"]
    treated = found["arms"]["treatment"]
    assert treated["clicked"] / treated["slates"] < 1.4
    for estimate in treated["clicks_per_slate_if_for_all"].values():
        assert estimate["low"] < 2.0 < estimate["high"]


def test_what_exploring_costs_is_told() -> None:
    draws = np.random.default_rng(6)
    slates = []
    for visitor in range(2_000):
        explores = bool(draws.random() < 0.3)
        clicked = bool(draws.random() < (0.05 if explores else 0.2))
        place = (0.3 if explores else 0.7, clicked)
        slates.append(outcome(visitor, "control", int(clicked), explored=(place,)))
    found = report("weights", slates, EXPERIMENT)["exploration"]
    assert (found["places"], 500 < found["drawn"] < 700) == (2_000, True)
    assert found["click_rate"]["value"] < 0.17
    assert found["click_rate_without_exploration"]["value"] == pytest.approx(0.2, abs=0.03)


def test_an_experiment_that_is_no_longer_declared_is_still_reported() -> None:
    arms = (AssignedArm("old", "b", 0.5), AssignedArm("other", "x", 1.0))
    slates = [outcome(1, "", 1, arms=arms), outcome(2, "", 0, arms=(AssignedArm("old", "control", 0.5),))]
    assert names_in(slates) == ["old", "other"]
    found = report("old", slates, None)
    assert list(found["arms"]) == ["control", "b"]
    assert "no longer declared" in table(found)
    assert "nothing was shown in it yet" in table(report("weights", slates, EXPERIMENT))


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake with 40 visitors in two arms, of whom every fourth clicks."""
    settings = Settings(state_dir=tmp_path)
    shown, log = [], []
    for number in range(40):
        name = "control" if number % 2 else "treatment"
        assigned = (LoggedArm(experiment="weights", arm=name, propensity=0.5),)
        event = msgspec.structs.replace(impression(f"s{number}", visitor=f"v{number}"), assigned=assigned)
        shown.append(ImpressionRecord(event, stamp(offset=number)))
        if number % 4 == 0:
            click = interaction(f"e{number}", visitor=f"v{number}", slate_id=f"s{number}")
            log.append(LogRecord(click, stamp(offset=number)))
    policy = settings.policies.bucket
    open_table(settings, IMPRESSIONS).append([IMPRESSIONS.to_rows(shown, policy)], {})
    open_table(settings, INTERACTIONS).append([INTERACTIONS.to_rows(log, policy)], {})
    settings.experiments_path.write_bytes(
        as_file(experiment("weights", arms=[arm("control", 0.5), arm("treatment", 0.5)]))
    )
    monkeypatch.setenv("FIRTH_STATE_DIR", str(tmp_path))
    return tmp_path


def test_the_command_tells_a_table_or_json(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiments", "report"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("weights: 40 visitors, 40 slates")
    assert main(["experiments", "report", "--json", "--name", "weights", "--since", "2025-06-01"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["arms"]["treatment"]["clicked"] == 10
    assert found["comparisons"][0]["always_valid"]["low"] is None, "with so few visitors nothing is known"
    assert main(["experiments", "report", "--until", "2025-06-01T00:00:00"]) == 0
    assert "nothing was shown" in capsys.readouterr().out


def test_an_unknown_experiment_is_refused_with_the_known_ones(lake: Path) -> None:
    with pytest.raises(ConfigurationError, match="name one of weights"):
        main(["experiments", "report", "--name", "wieghts"])
