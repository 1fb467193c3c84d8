"""The path of a query over fakes: sources, fallbacks, filters and reasons."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from domain.merge import merge_cells
from domain.policies import DAY_MS, MINUTE_MS
from domain.slates import Degradation, Query, Slate, Source
from tests.builders import START_MS
from tests.unit.serving.fakes import GRACE_MS, FakeBatch, FakeModel, FakeSpeed, FakeTrends, World, speed_rows

NEIGHBOURS = {"alien": ["aliens", "dune"], "heat": ["ronin", "alien"]}


def world(**fields: Any) -> World:
    model = FakeModel(NEIGHBOURS, best=["titanic", "alien", "dune"])
    return replace(World(model=model, speed=FakeSpeed({"ada": speed_rows("heat", "alien")})), **fields)


async def ask(over: World, **fields: Any) -> Slate:
    query = Query(visitor_id="ada", count=5, asked_at_ms=over.now_ms)
    return await over.pipeline().run(replace(query, **fields))


def items(slate: Slate) -> list[str]:
    return [shown.candidate.item_id for shown in slate.shown]


def history(*seen_items: str, cutoff_ms: int = START_MS) -> dict[str, Any]:
    """A batch row with these last items and nothing else."""
    return {
        "cutoff_ms": cutoff_ms,
        "history_seen_items_at_ms": list(range(len(seen_items))),
        "history_seen_items_items": list(seen_items),
        "history_seen_items_kinds": ["view"] * len(seen_items),
    }


async def test_the_session_decides_what_comes_first_and_popularity_fills_the_rest() -> None:
    slate = await ask(world())
    assert items(slate) == ["aliens", "dune", "ronin", "titanic"]
    assert [shown.candidate.source for shown in slate.shown][-1] is Source.POPULAR
    assert slate.query.degraded == ()
    assert slate.model_version == "m1"


async def test_each_personal_item_cites_an_act_of_the_visitor() -> None:
    slate = await ask(world())
    cited = {shown.candidate.item_id: shown.because and shown.because.item_id for shown in slate.shown}
    assert cited == {"aliens": "alien", "dune": "alien", "ronin": "heat", "titanic": None}


async def test_seen_items_are_left_out_and_reported() -> None:
    slate = await ask(world())
    removed = {(each.candidate.item_id, each.why.value) for each in slate.removed}
    assert ("alien", "seen") in removed


async def test_without_the_speed_store_the_history_is_the_basis_and_the_answer_says_so() -> None:
    over = world(speed=FakeSpeed(away=True), batch=FakeBatch({"ada": history("heat")}))
    slate = await ask(over)
    assert items(slate)[:2] == ["ronin", "alien"]
    assert slate.query.degraded == (Degradation.NO_SPEED_FEATURES,)
    assert slate.query.visitor.covered_to_ms == START_MS


async def test_without_the_history_the_session_still_serves_and_the_answer_says_so() -> None:
    slate = await ask(world(batch=FakeBatch(away=True)))
    assert items(slate)[0] == "aliens"
    assert slate.query.degraded == (Degradation.NO_HISTORY,)


async def test_without_both_stores_everybody_gets_what_is_trending_then_popular() -> None:
    over = world(speed=FakeSpeed(away=True), batch=FakeBatch(away=True), trends=FakeTrends(["heat"]))
    slate = await ask(over)
    assert items(slate) == ["heat", "titanic", "alien", "dune"]
    assert set(slate.query.degraded) == {Degradation.NO_SPEED_FEATURES, Degradation.NO_HISTORY}


async def test_without_a_model_the_trend_serves_and_the_answer_says_so() -> None:
    slate = await ask(world(model=None, trends=FakeTrends(["ronin", "alien"])))
    assert items(slate) == ["ronin"]
    assert slate.query.degraded == (Degradation.NO_MODEL,)
    assert slate.model_version == ""


async def test_with_nothing_at_all_the_slate_is_empty_and_still_an_answer() -> None:
    slate = await ask(World(speed=FakeSpeed(away=True), batch=FakeBatch(away=True)))
    assert items(slate) == []
    assert len(slate.query.degraded) == 3


async def test_a_model_of_an_overdue_daily_run_serves_and_the_answer_says_so() -> None:
    limit_ms = START_MS + 2 * DAY_MS + GRACE_MS
    assert (await ask(world(now_ms=limit_ms))).query.degraded == ()
    slate = await ask(world(now_ms=limit_ms + 1))
    assert slate.query.degraded == (Degradation.STALE_MODEL,)
    assert items(slate)[0] == "aliens"


async def test_frozen_rows_of_the_stream_serve_and_the_answer_says_so() -> None:
    slate = await ask(world(is_speed_stale=True))
    assert slate.query.degraded == (Degradation.STALE_SPEED,)
    assert items(slate)[0] == "aliens"


async def test_a_session_idle_beyond_the_gap_is_not_served_as_current() -> None:
    over = world(now_ms=START_MS + 30 * MINUTE_MS + 1)
    slate = await ask(over)
    assert slate.query.visitor.session == ()
    assert items(slate)[0] == "aliens", "its items are still what the visitor did last"


async def test_buckets_that_neither_layer_covers_are_named_as_a_gap() -> None:
    rows = speed_rows("alien")
    assert rows.recent is not None
    rows.recent["recent_dropped_through_ms"] = START_MS - 1  # type: ignore[index]
    slate = await ask(world(speed=FakeSpeed({"ada": rows})))
    assert slate.query.degraded == (Degradation.HISTORY_GAP,)


async def test_popular_items_are_asked_for_only_when_the_session_does_not_yield_enough() -> None:
    plenty = [f"near-{number:03d}" for number in range(300)]
    over = world(model=FakeModel({"alien": plenty}, best=["titanic"]), trends=FakeTrends(["ronin"]))
    over.speed.rows["bob"] = speed_rows("a", "b", "c", "alien")
    newcomers, others = [
        {*items(slate), *(each.candidate.item_id for each in slate.removed)}
        for slate in (await ask(over), await ask(over, visitor_id="bob"))
    ]
    assert others.isdisjoint({"titanic", "ronin"})
    assert newcomers & {"titanic", "ronin"} == {"titanic"}, "for a newcomer popularity counts, trends do not"


async def test_a_query_that_must_not_be_personal_reads_nothing_of_the_visitor() -> None:
    over = world()
    slate = await ask(over, personalise=False)
    assert over.speed.reads == over.batch.reads == 0
    assert items(slate) == ["titanic", "alien", "dune"]


async def test_every_stage_is_timed_once() -> None:
    over, seen = world(), []
    pipeline = over.pipeline()
    pipeline._observe = lambda stage, seconds: seen.append(stage)
    await pipeline.run(Query(visitor_id="ada", count=1, asked_at_ms=0))
    assert seen == ["hydrate", "retrieve", "filter", "score", "compose"]


async def test_the_profile_is_the_domains_merge_of_both_rows() -> None:
    row = history("heat", cutoff_ms=START_MS - 86_400_000)
    over = world(batch=FakeBatch({"ada": row}))
    rows = await over.hydrate().rows("ada")
    assert rows.profile == merge_cells("visitor", row, rows.speed.recent)
    assert rows.profile["seen_items_items"] == ["heat", "alien"]
