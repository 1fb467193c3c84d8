"""Onboarding and search over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from schemas.events import InteractionEvent, decode
from serving.adapters.publisher import Unconfirmed
from serving.adapters.spool import Spooled
from tests.unit.serving.fakes import FakeModel, World, speed_rows


async def test_what_is_named_is_kept_as_likes_and_known_when_it_is_answered(
    http: httpx.AsyncClient, world: World
) -> None:
    world.speed.rows["bob"] = speed_rows("alien", kind="like")
    body = {"visitor_id": "bob", "items": ["alien", "unheard"], "categories": ["film"]}
    answer = (await http.post("/v1/onboarding", json=body)).json()
    assert (answer["accepted"], answer["is_effective"], answer["unknown_items"]) == (3, True, ["unheard"])
    events = [decode(InteractionEvent, record.value or b"") for record in world.publisher.records]
    assert [(each.item_id, each.kind, each.context.categories) for each in events] == [
        ("category:film", "like", ("film",)),
        ("alien", "like", ("film",)),
        ("unheard", "like", ()),
    ]
    slate = (await http.post("/v1/recommendations", json={"visitor_id": "bob"})).json()
    assert slate["items"][0]["reason"] == "because you liked Alien"


async def test_a_stream_that_is_away_is_told_and_nothing_is_lost(
    http: httpx.AsyncClient, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.api.onboarding.EFFECTIVE_S", 0.02)
    answer = (await http.post("/v1/onboarding", json={"visitor_id": "bob", "items": ["alien"]})).json()
    assert (answer["accepted"], answer["is_effective"]) == (1, False)
    world.publisher.answer = Unconfirmed("late")
    assert (await http.post("/v1/onboarding", json={"visitor_id": "bob", "items": ["dune"]})).status_code == 503
    on_disk: Any = Spooled()
    world.publisher.answer = on_disk
    spooled = await http.post("/v1/onboarding", json={"visitor_id": "bob", "items": ["dune"]})
    assert (spooled.status_code, spooled.json()["is_effective"]) == (202, False)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "items"),
        ({"categories": ["flim"]}, "categories[0]"),
        ({"items": ["x"] * 51}, "items"),
        ({"items": [""]}, "items[0]"),
        ({"colour": 1}, "colour"),
    ],
)
async def test_naming_nothing_or_what_is_not_there_is_a_problem(
    http: httpx.AsyncClient, world: World, fields: dict[str, Any], field: str
) -> None:
    response = await http.post("/v1/onboarding", json={"visitor_id": "bob", **fields})
    assert response.status_code == 422
    assert response.json()["field"] == field
    assert world.publisher.records == []


async def test_a_visitor_who_named_a_category_gets_what_is_popular_in_it_before_what_is_trending(
    http: httpx.AsyncClient, world: World
) -> None:
    dune = {"item_id": "dune", "title": "Dune", "categories": ["space"]}
    world.catalogue.take({"dune": msgspec.json.encode(dune)})
    assert world.model is not None
    world.model.best = ["titanic", "alien", "aliens", "ronin", "dune"]
    world.speed.rows["bob"] = speed_rows("category:space", kind="like")
    answer = (await http.post("/v1/recommendations", json={"visitor_id": "bob"})).json()
    sources = {item["item_id"]: item["source"] for item in answer["items"]}
    assert (sources["dune"], sources["heat"]) == ("category", "trending")
    assert list(sources).index("dune") < min(list(sources).index(item) for item in ("aliens", "ronin", "heat"))
    reasons = {item["item_id"]: item["reason"] for item in answer["items"]}
    assert reasons["dune"] == "popular in a category that you named"


async def test_for_a_newcomer_popularity_decides_between_what_the_model_holds_for_nearly_alike(
    http: httpx.AsyncClient, world: World
) -> None:
    near = [f"near{place}" for place in range(20)]
    world.model = FakeModel({"alien": near, "dune": near}, best=["near19", "titanic"])
    world.speed.rows["bob"] = speed_rows("alien")
    world.speed.rows["cy"] = speed_rows("alien", "heat", "dune", "titanic")
    places = []
    for visitor in ("bob", "cy"):
        answer = (await http.post("/v1/recommendations", json={"visitor_id": visitor})).json()
        places.append([item["item_id"] for item in answer["items"]].index("near19"))
    assert places[0] < places[1]


async def test_a_new_visitor_may_choose_from_categories_and_popular_items(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/v1/onboarding")).json()
    assert answer["categories"] == [{"category": "film", "items": 5}]
    assert [item["item_id"] for item in answer["items"]] == ["titanic", "dune"]


async def found(http: httpx.AsyncClient, q: str, **query: Any) -> list[tuple[str, str]]:
    response = await http.get("/v1/search", params={"q": q, **query})
    assert response.status_code == 200, response.text
    return [(item["item_id"], item["ranked_by"]) for item in response.json()["items"]]


async def test_titles_are_found_by_beginnings_of_words_and_the_whole_title_comes_first(http: httpx.AsyncClient) -> None:
    assert await found(http, "ALIEN") == [("alien", "nothing"), ("aliens", "nothing")]
    assert await found(http, "zz") == []


async def test_what_is_found_is_ordered_for_the_visitor(http: httpx.AsyncClient, world: World) -> None:
    for item in ("alien3", "alien4"):
        world.catalogue.take({item: msgspec.json.encode({"item_id": item, "title": f"Alien {item[-1]}"})})
    assert world.model is not None
    world.model.neighbours["dune"] = ["alien4"]
    world.model.best.append("alien3")
    plain = await found(http, "alie")
    assert plain[0] == ("alien3", "popularity")
    world.speed.rows["bob"] = speed_rows("dune")
    assert (await found(http, "alie", visitor_id="bob"))[0] == ("alien4", "session")


async def test_a_search_is_bounded_and_keeps_to_filters_rules_and_variants(
    http: httpx.AsyncClient, world: World
) -> None:
    assert await found(http, "alien", count=1) == [("alien", "nothing")]
    assert await found(http, "alien", filter='title != "Alien"') == [("aliens", "nothing")]
    aliens = {"item_id": "aliens", "title": "Aliens", "variant_of": "alien"}
    world.catalogue.take({"aliens": msgspec.json.encode(aliens)})
    assert len(await found(http, "alien")) == 1


@pytest.mark.parametrize(
    "query", [{}, {"q": ""}, {"q": "?!"}, {"q": "x" * 201}, {"q": "x", "count": 0}, {"q": "x", "filter": "<"}]
)
async def test_a_wrong_search_is_a_problem(http: httpx.AsyncClient, query: dict[str, Any]) -> None:
    response = await http.get("/v1/search", params=query)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
