"""Slates over HTTP: filters, placements, what is at hand and what has just been clicked."""

from __future__ import annotations

import httpx

from schemas.events import ItemEvent, encode
from tests.builders import START_MS
from tests.unit.serving.fakes import World


async def test_a_filter_narrows_the_slate_and_popular_items_that_pass_it_fill_it(
    http: httpx.AsyncClient, world: World
) -> None:
    item = ItemEvent(item_id="ronin", title="Ronin", categories=("thriller",), price_micros=5_000_000)
    world.catalogue.take({"ronin": encode(item)})
    assert world.model is not None
    world.model.best = [*(f"p{number:03d}" for number in range(200)), "ronin"]
    body = {"visitor_id": "ada", "filter": 'category has "thriller" and price <= 5', "explain": True}
    answer = (await http.post("/v1/recommendations", json=body)).json()
    assert [(each["item_id"], each["source"]) for each in answer["items"]] == [("ronin", "popular")]
    removed = {"item_id": "aliens", "source": "session", "why": "filtered", "rule": None}
    assert removed in answer["removed"]


async def test_a_wrong_filter_is_a_problem_with_its_place_and_a_remedy(http: httpx.AsyncClient) -> None:
    body = {"visitor_id": "ada", "filter": "categry has x"}
    response = await http.post("/v1/recommendations", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert (problem["type"], problem["field"], problem["position"]) == ("urn:firth:problem:contract", "filter", 1)
    assert problem["remedy"] == "did you mean `category`?"


async def test_an_item_page_recommends_from_its_item_and_does_not_show_it(http: httpx.AsyncClient) -> None:
    body = {"visitor_id": "nobody", "placement": "item", "context_items": ["alien"]}
    answer = (await http.post("/v1/recommendations", json=body)).json()
    assert answer["items"][0]["item_id"] == "aliens"
    assert answer["items"][0]["reason"] == "because you looked at Alien"
    assert answer["session"] == {"items": [], "length": 0}
    assert {"alien", "heat"}.isdisjoint(each["item_id"] for each in answer["items"]), "nor what is trending"


async def test_an_item_page_without_its_item_is_a_problem(http: httpx.AsyncClient) -> None:
    response = await http.post("/v1/recommendations", json={"visitor_id": "ada", "placement": "item"})
    assert response.status_code == 422
    assert response.json()["field"] == "context_items"


async def test_a_cart_recommends_from_what_the_visitor_put_there(http: httpx.AsyncClient) -> None:
    clicks = [{"item_id": "alien", "kind": "cart"}]
    answer = (
        await http.post("/v1/recommendations", json={"visitor_id": "bob", "placement": "cart", "clicks": clicks})
    ).json()
    assert answer["items"][0]["reason"] == "because you put Alien into the cart"


async def test_each_placement_has_its_own_count_and_cap(http: httpx.AsyncClient, world: World) -> None:
    assert world.model is not None
    world.model.best = [f"p{number:03d}" for number in range(50)]
    for item_id in world.model.best:
        item = ItemEvent(item_id=item_id, categories=("film",) if item_id > "p025" else ())
        world.catalogue.take({item_id: encode(item)})
    counts = {}
    for placement in ("home", "cart", "email"):
        body = {"visitor_id": "bob", "placement": placement}
        counts[placement] = (await http.post("/v1/recommendations", json=body)).json()["items"]
    assert {placement: len(items) for placement, items in counts.items()} == {"home": 20, "cart": 6, "email": 10}
    assert sum("film" in each["categories"] for each in counts["email"]) <= 3
    own = {"visitor_id": "bob", "placement": "email", "count": 1}
    assert len((await http.post("/v1/recommendations", json=own)).json()["items"]) == 1


async def test_a_click_in_the_request_counts_at_once(http: httpx.AsyncClient) -> None:
    body = {"visitor_id": "bob", "clicks": [{"item_id": "alien", "kind": "play", "at_ms": START_MS}]}
    answer = (await http.post("/v1/recommendations", json=body)).json()
    assert answer["session"] == {"items": ["alien"], "length": 1}
    assert answer["items"][0]["because"] == {"item_id": "alien", "title": "Alien", "kind": "play", "at_ms": START_MS}
    impersonal = (await http.post("/v1/recommendations", json={**body, "personalise": False})).json()
    assert all(each["because"] is None for each in impersonal["items"])


async def test_pages_never_repeat_an_item_and_end(http: httpx.AsyncClient, world: World) -> None:
    assert world.model is not None
    world.model.best = [f"p{number:03d}" for number in range(250)]
    pages, cursor = [], None
    while True:
        body = {"visitor_id": "ada", "count": 60, **({"cursor": cursor} if cursor else {})}
        answer = (await http.post("/v1/recommendations", json=body)).json()
        pages.append([each["item_id"] for each in answer["items"]])
        if (cursor := answer["next_cursor"]) is None:
            break
    assert [len(page) for page in pages] == [60, 60, 60, 60, 13]
    assert pages[0][0] == "aliens"
    assert len({item for page in pages for item in page}) == 253


async def test_an_item_of_an_earlier_page_is_explained_and_a_wrong_cursor_is_a_problem(http: httpx.AsyncClient) -> None:
    first = (await http.post("/v1/recommendations", json={"visitor_id": "ada", "count": 1})).json()
    body = {"visitor_id": "ada", "count": 1, "cursor": first["next_cursor"], "explain": True}
    second = (await http.post("/v1/recommendations", json=body)).json()
    assert (second["removed"][0]["item_id"], second["removed"][0]["why"]) == ("aliens", "shown_before")
    response = await http.post("/v1/recommendations", json={"visitor_id": "ada", "cursor": "nonsense!"})
    assert (response.status_code, response.json()["field"]) == (422, "cursor")
