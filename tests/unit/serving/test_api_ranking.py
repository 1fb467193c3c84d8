"""Given items over HTTP: ordered for a visitor, and explained."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from serving.pipeline.trending import TrendWindow
from tests.builders import START_MS
from tests.unit.serving.fakes import World


async def ranked(http: httpx.AsyncClient, *items: str, **fields: Any) -> list[tuple[str, str]]:
    response = await http.post("/v1/rank", json={"visitor_id": "ada", "items": list(items), **fields})
    assert response.status_code == 200, response.text
    return [(each["item_id"], each["ranked_by"]) for each in response.json()["items"]]


async def explained(http: httpx.AsyncClient, item: str, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (
        await http.get("/v1/explain", params={"visitor_id": "ada", "item_id": item, **fields})
    ).json()
    return answer


async def test_given_items_are_ordered_by_the_session_then_popularity_and_unknown_ones_come_last(
    http: httpx.AsyncClient,
) -> None:
    assert await ranked(http, "unheard", "heat", "titanic", "dune", "aliens") == [
        ("aliens", "session"),
        ("dune", "session"),
        ("titanic", "popularity"),
        ("heat", "nothing"),
        ("unheard", "unknown"),
    ]


async def test_each_different_item_is_ranked_once_and_what_was_seen_is_kept(http: httpx.AsyncClient) -> None:
    assert await ranked(http, "aliens", "alien", "aliens") == [("aliens", "session"), ("alien", "nothing")]


async def test_an_item_at_hand_and_a_click_decide_for_a_visitor_of_whom_nothing_is_known(
    http: httpx.AsyncClient,
) -> None:
    plain = await ranked(http, "aliens", "dune", visitor_id="bob")
    assert plain == [("dune", "popularity"), ("aliens", "nothing")]
    for fields in ({"context_items": ["alien"]}, {"clicks": [{"item_id": "alien"}]}):
        assert (await ranked(http, "dune", "aliens", visitor_id="bob", **fields))[0] == ("aliens", "session")


async def test_a_ranked_item_cites_the_act_behind_its_place_when_asked(http: httpx.AsyncClient) -> None:
    body = {"visitor_id": "ada", "items": ["aliens", "heat"], "explain": True}
    answer = (await http.post("/v1/rank", json=body)).json()
    assert answer["items"][0]["because"] == {"item_id": "alien", "title": "Alien", "kind": "play", "at_ms": START_MS}
    assert answer["items"][1]["because"] is None
    assert (answer["session"]["items"], answer["model_version"], answer["degraded"]) == (["alien"], "m1", [])


async def test_without_a_model_the_order_stays_and_the_answer_says_so(http: httpx.AsyncClient, world: World) -> None:
    world.model = None
    answer = (await http.post("/v1/rank", json={"visitor_id": "ada", "items": ["x", "heat", "dune"]})).json()
    assert [(each["item_id"], each["is_known"]) for each in answer["items"]] == [
        ("heat", True),
        ("dune", True),
        ("x", False),
    ]
    assert answer["degraded"] == ["no_model"]


@pytest.mark.parametrize("items", [[], ["x"] * 501, [""]])
async def test_no_items_or_too_many_are_a_problem(http: httpx.AsyncClient, items: list[str]) -> None:
    response = await http.post("/v1/rank", json={"visitor_id": "ada", "items": items})
    assert response.status_code == 422
    assert response.json()["field"].startswith("items")


async def test_a_shown_item_is_explained_by_its_place_and_reason(http: httpx.AsyncClient, world: World) -> None:
    answer = await explained(http, "aliens")
    assert (answer["is_shown"], answer["position"], answer["source"]) == (True, 0, "session")
    assert answer["detail"] == "because you watched Alien"
    assert answer["because"]["item_id"] == "alien"
    assert world.impressions == [], "nothing was shown"


@pytest.mark.parametrize(
    ("item", "query", "stage", "why"),
    [
        ("alien", {"context_items": ["dune", "alien"]}, "filter", "seen"),
        ("dune", {"filter": 'title != "Dune"'}, "filter", "filtered"),
        ("dune", {"count": 1}, "compose", "below_the_cut"),
        ("dune", {"category_cap": 1}, "compose", "category_cap"),
        ("heat", {"placement": "item", "context_items": "alien"}, "retrieve", None),
        ("unheard", {}, "retrieve", None),
    ],
)
async def test_an_item_that_is_not_shown_is_explained_by_the_stage_that_dropped_it(
    http: httpx.AsyncClient, world: World, item: str, query: dict[str, Any], stage: str, why: str | None
) -> None:
    assert world.model is not None
    world.model.best.append("alien")
    answer = await explained(http, item, **query)
    assert (answer["is_shown"], answer["stage"], answer["why"]) == (False, stage, why)
    assert answer["detail"]


async def test_a_wrong_query_for_an_explanation_is_a_problem(http: httpx.AsyncClient) -> None:
    fields: dict[str, Any]
    for fields in ({"filter": "price <"}, {"placement": "item"}, {"placement": "attic"}, {"count": 0}):
        response = await http.get("/v1/explain", params={"visitor_id": "ada", "item_id": "alien", **fields})
        assert response.status_code == 422
        assert response.headers["content-type"] == "application/problem+json"


async def test_trending_is_asked_by_window_and_category(http: httpx.AsyncClient, world: World) -> None:
    world.trends.windows[TrendWindow.WEEK] = ["unheard", "dune"]
    week = (await http.get("/v1/trending?window=week")).json()
    assert [(each["item_id"], each["source"]) for each in week["items"]] == [
        ("unheard", "trending"),
        ("dune", "trending"),
        ("titanic", "popular"),
    ]
    films = (await http.get("/v1/trending?window=week&category=film&count=1")).json()
    assert [each["item_id"] for each in films["items"]] == ["dune"]
    assert (await http.get("/v1/trending?category=none")).json()["items"] == []
    assert (await http.get("/v1/trending?window=century")).status_code == 422
