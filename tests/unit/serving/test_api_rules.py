"""Rules of the shop over HTTP: stored, listed, previewed, and seen in slates."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from serving.adapters.publisher import Unconfirmed
from tests.builders import START_MS
from tests.unit.serving.fakes import World

HIDE = {"action": "hide", "where": 'title = "Aliens"'}


async def slate(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await http.post("/v1/recommendations", json={"visitor_id": "ada", **fields})).json()
    return answer


def items(answer: dict[str, Any], part: str = "items") -> list[str]:
    return [each["item_id"] for each in answer[part]]


async def put(http: httpx.AsyncClient, rule_id: str, **terms: Any) -> httpx.Response:
    return await http.put(f"/v1/rules/{rule_id}", json=terms)


async def test_a_stored_rule_is_in_kafka_and_listed_with_its_version(http: httpx.AsyncClient, world: World) -> None:
    stored = (await put(http, "no-aliens", **HIDE)).json()
    assert stored == {**HIDE, "rule_id": "no-aliens", "version": START_MS}
    (record,) = world.publisher.records
    assert (record.topic, record.key) == ("rules", "no-aliens")
    assert (await http.get("/v1/rules")).json() == {"rules": [stored], "rules_max": 200}
    assert (await http.get("/v1/rules/no-aliens")).json() == stored
    assert (await put(http, "no-aliens", **HIDE)).json()["version"] == START_MS + 1


async def test_a_hide_leaves_the_item_out_and_names_the_rule(http: httpx.AsyncClient) -> None:
    assert items(await slate(http))[0] == "aliens"
    await put(http, "no-aliens", **HIDE)
    answer = await slate(http, explain=True)
    assert "aliens" not in items(answer)
    removed = {"item_id": "aliens", "source": "session", "why": "rule", "rule": "no-aliens"}
    assert removed in answer["removed"]
    explained = (await http.get("/v1/explain?visitor_id=ada&item_id=aliens")).json()
    assert (explained["stage"], explained["why"], explained["rule"]) == ("filter", "rule", "no-aliens")


async def test_a_hide_holds_for_similar_and_trending_too(http: httpx.AsyncClient) -> None:
    await put(http, "r", action="hide", items=["aliens", "heat"])
    assert "aliens" not in items((await http.get("/v1/similar/alien")).json())
    assert "heat" not in items((await http.get("/v1/trending")).json())


async def test_a_filter_lets_only_what_fulfils_it_through_and_popular_items_fill_the_slate(
    http: httpx.AsyncClient, world: World
) -> None:
    await put(http, "r", action="filter", where='title in ("Titanic", "Dune")', placements=["home"])
    assert items(await slate(http)) == ["dune", "titanic"]
    page = {"placement": "item", "context_items": ["alien"]}
    assert items(await slate(http, **page))[0] == "aliens", "the rule is of another placement"


async def test_a_boost_moves_an_item_and_is_named(http: httpx.AsyncClient) -> None:
    await put(http, "r", action="boost", items=["dune"], factor=50)
    first = (await slate(http))["items"][0]
    assert (first["item_id"], first["rule"]) == ("dune", "r")


async def test_a_pin_puts_an_item_into_its_place_whoever_proposes_it(http: httpx.AsyncClient, world: World) -> None:
    world.trends.items = []
    await put(http, "r", action="pin", items=["heat"], position=1)
    second = (await slate(http))["items"][1]
    assert (second["item_id"], second["rule"], second["source"]) == ("heat", "r", "pinned")
    assert second["reason"] == "chosen for this place"
    assert "heat" not in items(await slate(http, exclude=["heat"]))


async def test_a_rule_ends_by_itself(http: httpx.AsyncClient, world: World) -> None:
    await put(http, "r", **HIDE, ends_at_ms=START_MS + 5)
    assert "aliens" not in items(await slate(http))
    world.now_ms += 5
    assert "aliens" in items(await slate(http))


async def test_a_preview_shows_both_slates_and_stores_nothing(http: httpx.AsyncClient, world: World) -> None:
    body = {"rule": HIDE, "query": {"visitor_id": "ada", "count": 2}}
    preview = (await http.post("/v1/rules/preview", json=body)).json()
    assert items(preview, "before") == ["aliens", "dune"]
    assert items(preview, "after") == ["dune", "titanic"]
    assert (preview["hidden"], preview["holds_now"], preview["replaces_version"]) == (["aliens"], True, None)
    assert (world.publisher.records, world.impressions) == ([], [])
    assert (await http.get("/v1/rules")).json()["rules"] == []


async def test_a_preview_of_a_stored_rule_compares_with_what_is_stored(http: httpx.AsyncClient) -> None:
    await put(http, "r", **HIDE)
    body = {"rule_id": "r", "rule": {**HIDE, "enabled": False}, "query": {"visitor_id": "ada", "count": 2}}
    preview = (await http.post("/v1/rules/preview", json=body)).json()
    assert (items(preview, "before")[0], items(preview, "after")[0]) == ("dune", "aliens")
    assert (preview["holds_now"], preview["replaces_version"]) == (False, START_MS)


async def test_a_deleted_rule_is_gone(http: httpx.AsyncClient, world: World) -> None:
    await put(http, "r", **HIDE)
    assert (await http.delete("/v1/rules/r")).status_code == 204
    assert world.publisher.records[-1].value is None
    assert "aliens" in items(await slate(http))
    for response in (await http.get("/v1/rules/r"), await http.delete("/v1/rules/r")):
        assert response.status_code == 404
        assert response.json()["type"] == "urn:firth:problem:unknown-rule"


async def test_a_change_to_another_version_is_a_conflict(http: httpx.AsyncClient) -> None:
    assert (await http.put("/v1/rules/r?if_version=7", json=HIDE)).status_code == 409
    version = (await http.put("/v1/rules/r?if_version=0", json=HIDE)).json()["version"]
    assert (await http.put("/v1/rules/r?if_version=0", json=HIDE)).status_code == 409
    assert (await http.delete(f"/v1/rules/r?if_version={version + 1}")).status_code == 409
    assert (await http.delete(f"/v1/rules/r?if_version={version}")).status_code == 204


async def test_there_are_only_so_many_rules(http: httpx.AsyncClient, world: World) -> None:
    await put(http, "r0", **HIDE)
    (record,) = world.publisher.records
    world.rules.take({f"r{n}": (record.value or b"").replace(b'"r0"', f'"r{n}"'.encode()) for n in range(1, 200)})
    assert len((await http.get("/v1/rules")).json()["rules"]) == 200
    assert (await put(http, "r200", **HIDE)).status_code == 409
    assert (await put(http, "r0", **HIDE)).status_code == 200


async def test_a_rule_that_kafka_did_not_take_does_not_hold(http: httpx.AsyncClient, world: World) -> None:
    world.publisher.answer = Unconfirmed("kafka is away")
    response = await put(http, "r", **HIDE)
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert (await http.get("/v1/rules")).json()["rules"] == []


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"action": "hide"}, "items"),
        ({"action": "burn", "items": ["a"]}, "action"),
        ({"action": "hide", "where": "price <"}, "where"),
        ({"action": "boost", "items": ["a"], "factor": 0}, "factor"),
        ({"action": "hide", "items": ["a"] * 101}, "items"),
        ({"action": "hide", "items": ["a"], "colour": 1}, "colour"),
    ],
)
async def test_a_wrong_rule_is_a_problem_that_names_the_field(
    http: httpx.AsyncClient, terms: dict[str, Any], field: str
) -> None:
    response = await http.put("/v1/rules/r", json=terms)
    assert response.status_code == 422
    assert response.json()["field"] == field
    preview = await http.post("/v1/rules/preview", json={"rule": terms, "query": {"visitor_id": "ada"}})
    assert preview.status_code == 422


async def test_a_name_that_is_none_is_a_problem(http: httpx.AsyncClient) -> None:
    assert (await put(http, "a b", **HIDE)).json()["field"] == "rule_id"


def test_what_the_topic_says_last_of_a_rule_holds_and_nonsense_is_passed_over(world: World) -> None:
    one = b'{"rule_id":"r","version":1,"action":"hide","items":["a"]}'
    world.rules.take({"r": one, "s": b"{}", "t": one, "u": b'{"rule_id":"u","version":1,"action":"pin"}'})
    assert world.rules.book().rules.keys() == {"r"}
    world.rules.take({"r": None})
    assert world.rules.book().rules == {}
