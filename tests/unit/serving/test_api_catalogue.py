"""The keeper's routes: a feed that is reconciled, and single items."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from schemas.events import ItemEvent, decode
from serving.adapters.publisher import Unconfirmed
from tests.unit.serving.fakes import World

FILMS = {"alien": "Alien", "aliens": "Aliens", "dune": "Dune", "titanic": "Titanic", "heat": "Heat"}


def line(item_id: str, **fields: Any) -> dict[str, Any]:
    """A line that says of a film of the small world what is known of it."""
    known = {"title": FILMS.get(item_id, ""), "categories": ["film"], "price_micros": 5}
    return {"item_id": item_id, **known, **fields}


def feed(*lines: Any) -> bytes:
    return b"\n".join(one if isinstance(one, bytes) else msgspec.json.encode(one) for one in lines)


async def put(http: httpx.AsyncClient, *lines: Any, **query: Any) -> dict[str, Any]:
    response = await http.put("/v1/catalogue", content=feed(*lines), params=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def published(world: World) -> dict[str, ItemEvent]:
    return {record.key: decode(ItemEvent, record.value or b"") for record in world.publisher.records}


async def test_a_feed_is_reconciled_and_every_kind_of_difference_told(http: httpx.AsyncClient, world: World) -> None:
    lines = [line("alien"), line("aliens", title="Aliens!"), line("dune"), line("new"), line("titanic")]
    answer = await put(http, *lines)
    told = {name: answer[name] for name in ("lines", "added", "changed", "unchanged", "removed", "refused")}
    assert told == {"lines": 5, "added": 1, "changed": 1, "unchanged": 3, "removed": 1, "refused": 0}
    assert (answer["removals"], answer["removed_items"]) == ("done", ["heat"])
    assert {item_id: item.deleted for item_id, item in published(world).items()} == {
        "aliens": False,
        "new": False,
        "heat": True,
    }
    assert published(world)["aliens"].title == "Aliens!"


async def test_the_same_feed_again_changes_nothing(http: httpx.AsyncClient, world: World) -> None:
    answer = await put(http, *map(line, FILMS), b"", b"  ")
    assert (answer["lines"], answer["unchanged"], answer["removed"]) == (5, 5, 0)
    assert world.publisher.records == []


async def test_a_dry_run_tells_the_same_and_publishes_nothing(http: httpx.AsyncClient, world: World) -> None:
    answer = await put(http, *map(line, list(FILMS)[1:]), dry_run=True)
    assert (answer["dry_run"], answer["removed_items"]) == (True, ["alien"])
    assert world.publisher.records == []


async def test_a_refused_line_names_its_field_and_leaves_its_item_as_it_was(
    http: httpx.AsyncClient, world: World
) -> None:
    lines = [*map(line, list(FILMS)[1:]), {"item_id": "alien", "colour": "red"}, line("dune")]
    answer = await put(http, *lines)
    assert (answer["refused"], answer["removed"], answer["removals"]) == (2, 0, "done")
    first, second = answer["refused_lines"]
    assert (first["line"], first["reason"], first["field"]) == (5, "contract", "colour")
    assert (second["line"], second["field"]) == (6, "item_id")
    assert "line 2" in second["detail"]
    assert world.publisher.records == []


@pytest.mark.parametrize("garbage", [b"{", b'{"title": "no id"}', b"[" * 9_000, b"x" * 20_000, b"\xff"])
async def test_a_line_that_does_not_tell_its_item_withholds_all_removals(
    http: httpx.AsyncClient, garbage: bytes
) -> None:
    answer = await put(http, *map(line, list(FILMS)[1:]), garbage)
    assert (answer["removals"], answer["missing"], answer["removed"]) == ("withheld_unreadable", 1, 0)
    assert answer["refused"] == 1


async def test_a_feed_that_was_cut_off_removes_nothing_unless_the_keeper_insists(
    http: httpx.AsyncClient, world: World
) -> None:
    answer = await put(http, line("alien"))
    assert (answer["removals"], answer["missing"]) == ("withheld_too_many", 4)
    assert world.publisher.records == []
    assert (await put(http, line("alien"), removals_share_max=1))["removed"] == 4


async def test_a_line_may_remove_its_item(http: httpx.AsyncClient) -> None:
    answer = await put(http, *map(line, list(FILMS)[1:]), {"item_id": "alien", "deleted": True}, b'{"item_id": "x"}')
    assert (answer["removed"], answer["missing"], answer["added"]) == (1, 0, 1)


async def test_lines_are_found_wherever_the_pieces_of_a_body_end(http: httpx.AsyncClient) -> None:
    body = feed(*map(line, FILMS)) + b"\n"

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 7):
            yield body[start : start + 7]

    answer = (await http.put("/v1/catalogue", content=pieces())).json()
    assert (answer["unchanged"], answer["refused"]) == (5, 0)


async def test_a_feed_that_kafka_does_not_take_is_503_and_removes_nothing(
    http: httpx.AsyncClient, world: World
) -> None:
    world.publisher.answer = Unconfirmed("late")
    response = await http.put("/v1/catalogue", content=feed(*map(line, list(FILMS)[1:]), line("new")))
    assert response.status_code == 503
    assert [record.key for record in world.publisher.records] == ["new"]


async def test_an_item_is_hidden_by_a_patch_and_the_rest_of_it_stays(http: httpx.AsyncClient, world: World) -> None:
    answer = await http.patch("/v1/items/alien", json={"hidden": True, "price_micros": None, "attributes": {"a": 1}})
    assert answer.status_code == 200
    item = published(world)["alien"]
    assert (item.hidden, item.title, item.price_micros, item.attributes) == (True, "Alien", None, {"a": 1})
    world.catalogue.take({record.key: record.value for record in world.publisher.records})
    await http.patch("/v1/items/alien", json={"attributes": {"b": 2}, "hidden": None})
    item = published(world)["alien"]
    assert (item.hidden, item.attributes) == (False, {"a": 1, "b": 2})


async def test_a_patch_begins_an_unknown_item_and_must_keep_the_contract(http: httpx.AsyncClient, world: World) -> None:
    assert (await http.patch("/v1/items/new", json={"title": "New"})).json() == {"item_id": "new", "title": "New"}
    wrong: Any
    for wrong in ({"item_id": "other"}, {"colour": "red"}, {"title": 7}, [], 7):
        assert (await http.patch("/v1/items/alien", json=wrong)).status_code == 422
    assert len(world.publisher.records) == 1


async def test_a_deleted_item_is_said_to_be_gone(http: httpx.AsyncClient, world: World) -> None:
    assert (await http.delete("/v1/items/alien")).status_code == 204
    assert published(world)["alien"].deleted
    world.publisher.answer = Unconfirmed("late")
    assert (await http.delete("/v1/items/alien")).status_code == 503


async def test_one_item_is_read_and_one_that_only_visitors_know_is_told_so(
    http: httpx.AsyncClient, world: World
) -> None:
    known = (await http.get("/v1/items/alien")).json()
    assert (known["in_catalogue"], known["in_model"], known["item"]["title"]) == (True, True, "Alien")
    assert world.model is not None
    world.model.best.append("unlisted")
    unlisted = (await http.get("/v1/items/unlisted")).json()
    assert (unlisted["in_catalogue"], unlisted["in_model"], unlisted["item"]) == (False, True, None)
    assert (await http.get("/v1/items/unheard")).status_code == 404


async def test_an_event_about_an_item_that_nobody_listed_counts_and_says_so(http: httpx.AsyncClient) -> None:
    events = [
        {"event_id": f"e-{item}", "visitor_id": "ada", "item_id": item, "kind": "view", "occurred_at_ms": 1}
        for item in ("alien", "unheard", "category:film")
    ]
    verdicts = (await http.post("/v1/events", json=events)).json()["verdicts"]
    assert [(each["verdict"], each.get("unknown_item", False)) for each in verdicts] == [
        ("accepted", False),
        ("accepted", True),
        ("accepted", False),
    ]


async def test_what_the_catalogue_hides_is_in_no_list(http: httpx.AsyncClient, world: World) -> None:
    async def shown() -> list[set[str]]:
        slate = (await http.post("/v1/recommendations", json={"visitor_id": "ada", "age": 12})).json()
        paths = ("/v1/similar/alien?age=12", "/v1/trending?age=12", "/v1/search?q=dune&age=12")
        lists = [(await http.get(path)).json() for path in paths]
        return [{item["item_id"] for item in each["items"]} for each in (slate, *lists)]

    assert ["dune" in each for each in await shown()] == [True] * 4
    for fields in ({"hidden": True}, {"in_stock": False}, {"deleted": True}):
        world.catalogue.take({"dune": msgspec.json.encode(line("dune", **fields))})
        assert ["dune" in each for each in await shown()] == [False] * 4, fields
    world.catalogue.take({"dune": msgspec.json.encode(line("dune", age_min=16))})
    assert ["dune" in each for each in await shown()] == [False] * 4
    older = (await http.post("/v1/recommendations", json={"visitor_id": "ada", "age": 16})).json()
    assert "dune" in {item["item_id"] for item in older["items"]}
    told = (await http.get("/v1/explain?visitor_id=ada&item_id=dune&age=12")).json()
    assert (told["stage"], told["why"]) == ("filter", "age")


async def test_of_variants_one_is_shown_and_none_again_on_a_later_page(http: httpx.AsyncClient, world: World) -> None:
    world.catalogue.take({"dune": msgspec.json.encode(line("dune", variant_of="aliens"))})
    body = {"visitor_id": "ada", "count": 1, "explain": True}
    first = (await http.post("/v1/recommendations", json=body)).json()
    assert [item["item_id"] for item in first["items"]] == ["aliens"]
    assert {"item_id": "dune", "source": "session", "why": "variant", "rule": None} in first["removed"]
    second = (await http.post("/v1/recommendations", json=body | {"cursor": first["next_cursor"]})).json()
    assert [item["item_id"] for item in second["items"]] not in (["dune"], ["aliens"])


async def test_a_list_for_everybody_has_one_of_variants_too(http: httpx.AsyncClient, world: World) -> None:
    for item in ("dune", "titanic"):
        world.catalogue.take({item: msgspec.json.encode(line(item, variant_of="aliens"))})
    for path in ("/v1/similar/alien", "/v1/trending"):
        items = {item["item_id"] for item in (await http.get(path)).json()["items"]}
        assert len(items & {"aliens", "dune", "titanic"}) == 1, path


async def test_when_most_is_out_of_stock_the_rest_fills_the_slate(http: httpx.AsyncClient, world: World) -> None:
    assert world.model is not None
    world.model.best = [f"hit{place:03d}" for place in range(400)]
    gone = {item: msgspec.json.encode(line(item, in_stock=False)) for item in world.model.best[:390]}
    world.catalogue.take(gone)
    answer = (await http.post("/v1/recommendations", json={"visitor_id": "bob", "count": 5})).json()
    assert [item["item_id"] for item in answer["items"]] == ["heat", "hit390", "hit391", "hit392", "hit393"]
