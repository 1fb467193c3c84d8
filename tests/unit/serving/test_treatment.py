"""What an arm changes of a slate, over fakes, and what of it is logged."""

from __future__ import annotations

from dataclasses import replace

from domain.experiments.assigned import AssignedArm, Exploration, Treatment
from domain.slates import Query, Slate, Source
from tests.unit.serving.fakes import FakeModel, FakeSpeed, FakeTrends, World, speed_rows

NEIGHBOURS = {"alien": ["aliens", "dune"], "heat": ["ronin", "alien"]}
ARM = AssignedArm("weights", "treatment", 0.5)


def world(treatment: Treatment) -> World:
    return World(
        model=FakeModel(NEIGHBOURS, best=["titanic", "avatar", "jaws", "up"]),
        speed=FakeSpeed({"ada": speed_rows("heat", "alien")}),
        trends=FakeTrends(["blade", "tron"]),
        treatments={"ada": treatment},
        models={"m2": FakeModel(version="m2", best=["ghost"])},
    )


async def ask(over: World, **fields: object) -> Slate:
    query = Query(visitor_id="ada", count=5, asked_at_ms=over.now_ms)
    return await over.pipeline().run(replace(query, **fields))  # type: ignore[arg-type]


def items(slate: Slate) -> list[str]:
    return [shown.candidate.item_id for shown in slate.shown]


async def test_weights_of_an_arm_reorder_the_sources() -> None:
    assert items(await ask(world(Treatment())))[0] == "aliens"
    slate = await ask(world(Treatment((ARM,), weights={Source.TRENDING: 9.0})))
    assert items(slate)[:2] == ["blade", "tron"]
    assert slate.query.treatment.arms == (ARM,)


async def test_a_model_of_an_arm_answers_and_is_named() -> None:
    slate = await ask(world(Treatment((ARM,), model="m2")))
    assert slate.model_version == "m2"
    assert "ghost" in items(slate)
    assert "titanic" not in items(slate)


async def test_a_cap_of_an_arm_takes_the_place_of_another() -> None:
    slate = await ask(world(Treatment((ARM,), category_cap=2)), category_cap=7)
    assert slate.query.category_cap == 2


async def test_who_explores_gets_other_items_now_and_then_and_every_place_has_its_propensity() -> None:
    over = world(Treatment((ARM,), explore=Exploration(2, 0.5)))
    pipeline = over.pipeline()
    query = Query(visitor_id="ada", count=5, asked_at_ms=over.now_ms)
    slates = [await pipeline.run(query) for _ in range(50)]
    assert len({tuple(items(slate)) for slate in slates}) > 3
    for slate in slates:
        chances = [shown.propensity for shown in slate.shown]
        assert chances[:3] == [1.0, 1.0, 1.0]
        assert max(chances[3:]) < 1
    assert slates[0].slate_id == "slate-1"
    assert items(await over.pipeline().run(query)) == items(slates[0]), "the lot is that of the slate's id"


async def test_a_visitor_who_must_not_be_known_is_in_no_experiment() -> None:
    slate = await ask(world(Treatment((ARM,), category_cap=2)), personalise=False)
    assert slate.query.treatment.arms == ()
    assert slate.query.category_cap is None


async def test_without_an_experiment_every_place_is_certain() -> None:
    slate = await ask(world(Treatment()))
    assert {shown.propensity for shown in slate.shown} == {1.0}
