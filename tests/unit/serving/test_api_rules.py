"""Rules of the shop over HTTP: stored, listed, previewed, and seen in slates."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from serving.adapters.publisher import Unconfirmed
from serving.api import application
from tests.builders import START_MS
from tests.unit.serving.fakes import ADMIN_KEY, World

KEY = {"Authorization": f"Bearer {ADMIN_KEY}"}
HIDE = {"action": "hide", "where": 'title = "Aliens"'}


@pytest.fixture
def admin(http: httpx.AsyncClient) -> httpx.AsyncClient:
    http.headers.update(KEY)
    return http


async def slate(http: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer: dict[str, Any] = (await http.post("/v1/recommendations", json={"visitor_id": "ada", **fields})).json()
    return answer


def items(answer: dict[str, Any], part: str = "items") -> list[str]:
    return [each["item_id"] for each in answer[part]]


async def put(admin: httpx.AsyncClient, rule_id: str, **terms: Any) -> httpx.Response:
    return await admin.put(f"/v1/rules/{rule_id}", json=terms)


async def test_a_stored_rule_is_in_kafka_and_listed_with_its_version(admin: httpx.AsyncClient, world: World) -> None:
    stored = (await put(admin, "no-aliens", **HIDE)).json()
    assert stored == {**HIDE, "rule_id": "no-aliens", "version": START_MS}
    (record,) = world.publisher.records
    assert (record.topic, record.key) == ("rules", "no-aliens")
    assert (await admin.get("/v1/rules")).json() == {"rules": [stored], "rules_max": 200}
    assert (await admin.get("/v1/rules/no-aliens")).json() == stored
    assert (await put(admin, "no-aliens", **HIDE)).json()["version"] == START_MS + 1


async def test_a_hide_leaves_the_item_out_and_names_the_rule(admin: httpx.AsyncClient) -> None:
    assert items(await slate(admin))[0] == "aliens"
    await put(admin, "no-aliens", **HIDE)
    answer = await slate(admin, explain=True)
    assert "aliens" not in items(answer)
    removed = {"item_id": "aliens", "source": "session", "why": "rule", "rule": "no-aliens"}
    assert removed in answer["removed"]
    explained = (await admin.get("/v1/explain?visitor_id=ada&item_id=aliens")).json()
    assert (explained["stage"], explained["why"], explained["rule"]) == ("filter", "rule", "no-aliens")


async def test_a_hide_holds_for_similar_and_trending_too(admin: httpx.AsyncClient) -> None:
    await put(admin, "r", action="hide", items=["aliens", "heat"])
    assert "aliens" not in items((await admin.get("/v1/similar/alien")).json())
    assert "heat" not in items((await admin.get("/v1/trending")).json())


async def test_a_filter_lets_only_what_fulfils_it_through_and_popular_items_fill_the_slate(
    admin: httpx.AsyncClient, world: World
) -> None:
    await put(admin, "r", action="filter", where='title in ("Titanic", "Dune")', placements=["home"])
    assert items(await slate(admin)) == ["dune", "titanic"]
    page = {"placement": "item", "context_items": ["alien"]}
    assert items(await slate(admin, **page))[0] == "aliens", "the rule is of another placement"


async def test_a_boost_moves_an_item_and_is_named(admin: httpx.AsyncClient) -> None:
    await put(admin, "r", action="boost", items=["dune"], factor=50)
    first = (await slate(admin))["items"][0]
    assert (first["item_id"], first["rule"]) == ("dune", "r")


async def test_a_pin_puts_an_item_into_its_place_whoever_proposes_it(admin: httpx.AsyncClient, world: World) -> None:
    world.trends.items = []
    await put(admin, "r", action="pin", items=["heat"], position=1)
    second = (await slate(admin))["items"][1]
    assert (second["item_id"], second["rule"], second["source"]) == ("heat", "r", "pinned")
    assert second["reason"] == "chosen for this place"
    assert "heat" not in items(await slate(admin, exclude=["heat"]))


async def test_a_rule_ends_by_itself(admin: httpx.AsyncClient, world: World) -> None:
    await put(admin, "r", **HIDE, ends_at_ms=START_MS + 5)
    assert "aliens" not in items(await slate(admin))
    world.now_ms += 5
    assert "aliens" in items(await slate(admin))


async def test_a_preview_shows_both_slates_and_stores_nothing(admin: httpx.AsyncClient, world: World) -> None:
    body = {"rule": HIDE, "query": {"visitor_id": "ada", "count": 2}}
    preview = (await admin.post("/v1/rules/preview", json=body)).json()
    assert items(preview, "before") == ["aliens", "dune"]
    assert items(preview, "after") == ["dune", "heat"]
    assert (preview["hidden"], preview["holds_now"], preview["replaces_version"]) == (["aliens"], True, None)
    assert (world.publisher.records, world.impressions) == ([], [])
    assert (await admin.get("/v1/rules")).json()["rules"] == []


async def test_a_preview_of_a_stored_rule_compares_with_what_is_stored(admin: httpx.AsyncClient) -> None:
    await put(admin, "r", **HIDE)
    body = {"rule_id": "r", "rule": {**HIDE, "enabled": False}, "query": {"visitor_id": "ada", "count": 2}}
    preview = (await admin.post("/v1/rules/preview", json=body)).json()
    assert (items(preview, "before")[0], items(preview, "after")[0]) == ("dune", "aliens")
    assert (preview["holds_now"], preview["replaces_version"]) == (False, START_MS)


async def test_a_deleted_rule_is_gone(admin: httpx.AsyncClient, world: World) -> None:
    await put(admin, "r", **HIDE)
    assert (await admin.delete("/v1/rules/r")).status_code == 204
    assert world.publisher.records[-1].value is None
    assert "aliens" in items(await slate(admin))
    for response in (await admin.get("/v1/rules/r"), await admin.delete("/v1/rules/r")):
        assert response.status_code == 404
        assert response.json()["type"] == "urn:firth:problem:unknown-rule"


async def test_a_change_to_another_version_is_a_conflict(admin: httpx.AsyncClient) -> None:
    assert (await admin.put("/v1/rules/r?if_version=7", json=HIDE)).status_code == 409
    version = (await admin.put("/v1/rules/r?if_version=0", json=HIDE)).json()["version"]
    assert (await admin.put("/v1/rules/r?if_version=0", json=HIDE)).status_code == 409
    assert (await admin.delete(f"/v1/rules/r?if_version={version + 1}")).status_code == 409
    assert (await admin.delete(f"/v1/rules/r?if_version={version}")).status_code == 204


async def test_there_are_only_so_many_rules(admin: httpx.AsyncClient, world: World) -> None:
    await put(admin, "r0", **HIDE)
    (record,) = world.publisher.records
    world.rules.take({f"r{n}": (record.value or b"").replace(b'"r0"', f'"r{n}"'.encode()) for n in range(1, 200)})
    assert len((await admin.get("/v1/rules")).json()["rules"]) == 200
    assert (await put(admin, "r200", **HIDE)).status_code == 409
    assert (await put(admin, "r0", **HIDE)).status_code == 200


async def test_a_rule_that_kafka_did_not_take_does_not_hold(admin: httpx.AsyncClient, world: World) -> None:
    world.publisher.answer = Unconfirmed("kafka is away")
    response = await put(admin, "r", **HIDE)
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert (await admin.get("/v1/rules")).json()["rules"] == []


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
    admin: httpx.AsyncClient, terms: dict[str, Any], field: str
) -> None:
    response = await admin.put("/v1/rules/r", json=terms)
    assert response.status_code == 422
    assert response.json()["field"] == field
    preview = await admin.post("/v1/rules/preview", json={"rule": terms, "query": {"visitor_id": "ada"}})
    assert preview.status_code == 422


async def test_a_name_that_is_none_is_a_problem(admin: httpx.AsyncClient) -> None:
    assert (await put(admin, "a b", **HIDE)).json()["field"] == "rule_id"


@pytest.mark.parametrize("key", [None, "", "Bearer", "Bearer wrong", f"Basic {ADMIN_KEY}", f"Bearer {ADMIN_KEY}é"])
async def test_without_the_admin_key_nothing_is_read_or_changed(http: httpx.AsyncClient, key: str | None) -> None:
    headers: dict[bytes, bytes] = {} if key is None else {b"Authorization": key.encode()}
    for method, path in (
        ("GET", "/v1/rules"),
        ("GET", "/v1/rules/r"),
        ("PUT", "/v1/rules/r"),
        ("DELETE", "/v1/rules/r"),
    ):
        response = await http.request(method, path, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.headers["content-type"] == "application/problem+json"


async def test_a_server_without_a_key_says_which_setting_to_make(world: World) -> None:
    world.admin_key = None
    transport = httpx.ASGITransport(application.build(world.services()))
    async with httpx.AsyncClient(transport=transport, base_url="http://firth", headers=KEY) as client:
        response = await client.get("/v1/rules")
    assert response.status_code == 403
    assert "FIRTH_SERVING__ADMIN_KEY" in response.json()["detail"]


def test_what_the_topic_says_last_of_a_rule_holds_and_nonsense_is_passed_over(world: World) -> None:
    one = b'{"rule_id":"r","version":1,"action":"hide","items":["a"]}'
    world.rules.take({"r": one, "s": b"{}", "t": one, "u": b'{"rule_id":"u","version":1,"action":"pin"}'})
    assert world.rules.book().rules.keys() == {"r"}
    world.rules.take({"r": None})
    assert world.rules.book().rules == {}
