"""An answer says which experiments it belongs to."""

from __future__ import annotations

import httpx

from domain.experiments.assigned import AssignedArm, Exploration, Treatment
from tests.unit.serving.fakes import World


async def test_an_answer_names_the_arm_and_the_propensity_of_each_place(http: httpx.AsyncClient, world: World) -> None:
    arms = (AssignedArm("explore", "treatment", 0.25),)
    world.treatments["ada"] = Treatment(arms, explore=Exploration(1, 0.5))
    answer = (await http.post("/v1/recommendations", json={"visitor_id": "ada", "count": 2})).json()
    assert answer["experiments"] == [{"experiment": "explore", "arm": "treatment", "propensity": 0.25}]
    first, second = answer["items"]
    assert (first["propensity"], 0 < second["propensity"] < 1) == (1.0, True)
    (slate,) = world.impressions
    assert slate.query.treatment.arms == arms
    assert [shown.propensity for shown in slate.shown] == [first["propensity"], second["propensity"]]
