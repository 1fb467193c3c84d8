"""A page of rows over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from serving.pipeline.trending import TrendWindow
from tests.builders import START_MS
from tests.unit.serving.fakes import FakeModel, World, speed_rows

NEAR = ["aliens", "dune", "ronin", "blade", "solaris", "moon"]
POPULAR = [f"hit{number}" for number in range(12)]
NEWEST = ["gravity", "arrival", "her", "looper"]


@pytest.fixture
def shop(world: World) -> World:
    """A world with enough for every row."""
    world.model = FakeModel(
        {"alien": NEAR, "aliens": ["hit1"], "heat": ["ronin", "casino", "thief", "drive"]}, best=POPULAR
    )
    world.speed.rows["ada"] = speed_rows("heat", "alien", kind="play")
    world.trends.items = ["storm", "flood", "quake", "gale", "hit3"]
    world.trends.windows[TrendWindow.WEEK] = ["hit0", "storm", *POPULAR[1:10]]
    for place, item in enumerate(NEWEST):
        published = {"item_id": item, "title": item.title(), "published_at_ms": START_MS - place}
        world.catalogue.take({item: msgspec.json.encode(published)})
    return world


async def page(http: httpx.AsyncClient, visitor: str = "ada", **fields: Any) -> dict[str, Any]:
    response = await http.post("/v1/page", json={"visitor_id": visitor, "count": 4, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def rows_of(answer: dict[str, Any]) -> dict[str, list[str]]:
    return {row["title"]: [item["item_id"] for item in row["items"]] for row in answer["rows"]}


@pytest.mark.usefixtures("shop")
async def test_a_page_has_every_row_and_no_item_twice(http: httpx.AsyncClient, world: World) -> None:
    answer = await page(http)
    rows = rows_of(answer)
    assert set(rows) == {
        "Continue watching",
        "Because you watched Heat",
        "Top picks for you",
        "Top ten this week",
        "Trending now",
        "New for you",
    } | {title for title in rows if title == "Because you watched Alien"}
    items = [item for row in rows.values() for item in row]
    assert len(items) == len(set(items))
    assert set(rows["Continue watching"]) == {"alien", "heat"}
    assert len(rows["Top ten this week"]) == 10
    assert rows["New for you"] == NEWEST
    assert [row["value"] for row in answer["rows"]] == sorted((row["value"] for row in answer["rows"]), reverse=True)
    assert world.speed.reads == 1, "the visitor is read once for the whole page"


@pytest.mark.usefixtures("shop")
async def test_a_row_says_where_it_is_from_and_why_and_is_a_slate_of_its_own(
    http: httpx.AsyncClient, world: World
) -> None:
    answer = await page(http)
    because = next(row for row in answer["rows"] if row["title"] == "Because you watched Heat")
    assert (because["title_key"], because["source"]) == ("row.because_you_watched", "similar")
    assert because["title_values"] == {"title": "Heat", "kind": "play"}
    assert because["because"]["item_id"] == "heat"
    assert because["reason"] == "goes with Heat"
    assert {item["reason"] for item in because["items"]} == {"because you watched Heat"}
    continued = next(row for row in answer["rows"] if row["row"] == "continue_watching")
    assert {item["reason"] for item in continued["items"]} == {"you have begun it"}
    logged = {slate.slate_id: slate.policy for slate in world.impressions}
    assert logged == {row["slate_id"]: f"page:{row['row']}" for row in answer["rows"]}


@pytest.mark.usefixtures("shop")
async def test_a_page_has_the_rows_that_were_asked_for_and_obeys_filters_and_exclusions(
    http: httpx.AsyncClient,
) -> None:
    answer = await page(http, rows=["top_picks", "new_for_you"], exclude=["gravity"], filter='not item_id = "aliens"')
    rows = rows_of(answer)
    assert set(rows) == {"Top picks for you", "New for you"}
    items = {item for row in rows.values() for item in row}
    assert items.isdisjoint({"gravity", "aliens", "alien", "heat"})


@pytest.mark.usefixtures("shop")
async def test_a_click_of_this_session_changes_the_page_at_once(http: httpx.AsyncClient) -> None:
    rows = rows_of(await page(http, "bob", clicks=[{"item_id": "alien", "kind": "play"}]))
    assert rows["Continue watching"] == ["alien"]
    assert any(title == "Because you watched Alien" for title in rows) or "aliens" in rows["Top picks for you"]


@pytest.mark.usefixtures("shop")
async def test_a_visitor_of_whom_nothing_is_known_gets_the_rows_that_are_for_everybody(http: httpx.AsyncClient) -> None:
    answer = await page(http, "nobody")
    assert {row["row"] for row in answer["rows"]} <= {"top_ten", "trending_now", "new_for_you", "top_picks"}
    assert "Popular picks" in rows_of(answer)


async def test_a_page_is_an_answer_when_everything_is_away(http: httpx.AsyncClient, shop: World) -> None:
    shop.speed.away = shop.batch.away = True
    shop.model = None
    answer = await page(http)
    assert answer["degraded"] == ["no_model", "no_speed_features", "no_history"]
    assert {row["row"] for row in answer["rows"]} >= {"top_ten"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"rows": []}, "rows"),
        ({"rows": ["attic"]}, "rows[0]"),
        ({"count": 0}, "count"),
        ({"filter": "price <"}, "filter"),
        ({"age": 99}, "age"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_a_wrong_page_is_a_problem_that_names_the_field(
    http: httpx.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    response = await http.post("/v1/page", json={"visitor_id": "ada", **fields})
    assert response.status_code == 422
    assert response.json()["field"] == field
