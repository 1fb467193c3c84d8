"""The HTTP contract over fakes: shapes, verdicts, limits and problem details."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest

from domain.policies import DAY_MS
from schemas.errors import (
    ConfigurationError,
    ConsistencyError,
    ContractError,
    DependencyError,
    PlatformError,
    Reason,
    RejectedEvent,
)
from schemas.events import InteractionEvent
from serving.adapters.publisher import Unconfirmed
from serving.api.bodies import EVENT_BODY_BYTES_MAX
from serving.api.contract import Readiness
from serving.api.errors import problem_of
from tests.builders import START_MS, interaction
from tests.unit.serving.fakes import World, speed_rows


def event(event_id: str = "e1", **fields: Any) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(interaction(event_id, **fields))
    return plain


async def test_a_slate_says_what_is_in_it_and_why(http: httpx.AsyncClient, world: World) -> None:
    answer = (await http.post("/v1/recommendations", json={"visitor_id": "ada", "count": 2})).json()
    assert answer["items"][0] == {
        "item_id": "aliens",
        "title": "Aliens",
        "categories": ["film"],
        "score": 1.1,
        "source": "session",
        "reason": "because you watched Alien",
        "because": {"item_id": "alien", "title": "Alien", "kind": "play", "at_ms": START_MS},
        "rule": None,
        "propensity": 1.0,
    }
    assert answer["experiments"] == []
    assert answer["session"] == {"items": ["alien"], "length": 1}
    assert answer["features_as_of_ms"] == START_MS
    assert answer["model_version"] == "m1"
    assert answer["degraded"] == []
    assert answer["removed"] is None
    assert answer["took_ms"] > 0
    assert [slate.slate_id for slate in world.impressions] == [answer["slate_id"]]


async def test_an_explained_slate_tells_what_was_left_out(http: httpx.AsyncClient) -> None:
    body = {"visitor_id": "ada", "exclude": ["dune"], "explain": True}
    answer = (await http.post("/v1/recommendations", json=body)).json()
    assert {"item_id": "dune", "source": "session", "why": "excluded", "rule": None} in answer["removed"]


async def test_a_slate_is_an_answer_when_everything_is_away(http: httpx.AsyncClient, world: World) -> None:
    world.speed.away = world.batch.away = True
    world.model = None
    response = await http.post("/v1/recommendations", json={"visitor_id": "ada"})
    assert response.status_code == 200
    assert response.json()["degraded"] == ["no_model", "no_speed_features", "no_history"]
    assert [item["source"] for item in response.json()["items"]] == ["trending"]


async def test_every_route_names_what_is_stale(http: httpx.AsyncClient, world: World) -> None:
    world.is_speed_stale = True
    world.now_ms += 3 * DAY_MS
    lists = [(await http.get(path)).json()["degraded"] for path in ("/v1/similar/alien", "/v1/trending")]
    assert lists == [["stale_model", "stale_speed"]] * 2
    assert (await http.get("/v1/visitors/ada")).json()["degraded"] == ["stale_speed"]


async def test_accepted_interactions_are_told_to_the_pulse_and_nothing_else_is(
    http: httpx.AsyncClient, world: World
) -> None:
    await http.post("/v1/items", json=[{"item_id": "new"}])
    await http.post("/v1/events", json=[event("e1"), {**event("e2"), "kind": "stare"}])
    world.publisher.answer = Unconfirmed("late")
    await http.post("/v1/events", json=[event("e3")])
    assert world.accepted == [("e1", START_MS)]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "visitor_id"),
        ({"visitor_id": "ada", "count": 0}, "count"),
        ({"visitor_id": "ada", "count": 101}, "count"),
        ({"visitor_id": "ada", "colour": "red"}, "colour"),
        ({"visitor_id": "ada", "exclude": [""]}, "exclude[0]"),
    ],
)
async def test_a_wrong_query_is_a_problem_that_names_the_field(
    http: httpx.AsyncClient, body: dict[str, Any], field: str
) -> None:
    response = await http.post("/v1/recommendations", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["field"] == field
    assert response.json()["type"] == "urn:firth:problem:contract"


@pytest.mark.parametrize("path", ["/v1/events", "/v1/items", "/v1/recommendations"])
@pytest.mark.parametrize("start", [b"", b'{"events": [{"a": ', b'{"items": [', b'{"visitor_id": "ada", "exclude": '])
async def test_a_body_nested_beyond_all_reason_is_the_senders_mistake(
    http: httpx.AsyncClient, path: str, start: bytes
) -> None:
    response = await http.post(path, content=start + b"[" * 200_000)
    assert response.status_code == 422
    assert response.json()["type"] == "urn:firth:problem:contract"


async def test_each_event_gets_a_verdict_of_its_own_and_the_rest_is_kept(http: httpx.AsyncClient, world: World) -> None:
    future = event("e3", at_ms=START_MS + 3_600_000)
    batch = [event("e1"), {**event("e2"), "kind": "stare"}, future, "nonsense", event("e5")]
    answer = (await http.post("/v1/events", json={"events": batch})).json()
    assert (answer["accepted"], answer["rejected"], answer["received_at_ms"]) == (2, 3, START_MS)
    assert [each["verdict"] for each in answer["verdicts"]] == [
        "accepted",
        "rejected",
        "rejected",
        "rejected",
        "accepted",
    ]
    assert [each.get("reason") for each in answer["verdicts"][1:4]] == ["contract", "future", "contract"]
    assert answer["verdicts"][1]["field"] == "kind"
    assert [record.key for record in world.publisher.records] == ["ada", "ada"]


async def test_a_bare_array_of_events_is_taken_too(http: httpx.AsyncClient) -> None:
    assert (await http.post("/v1/events", json=[event()])).json()["accepted"] == 1


async def test_the_gateway_stamps_categories_and_price_only_where_the_producer_sent_none(
    http: httpx.AsyncClient, world: World
) -> None:
    sent = [event("e1", item="alien"), event("e2", item="alien", categories=("mine",)), event("e3", item="new")]
    await http.post("/v1/events", json=sent)
    values = [record.value or b"" for record in world.publisher.records]
    contexts = [msgspec.json.decode(value, type=InteractionEvent).context for value in values]
    assert [context.categories for context in contexts] == [("film",), ("mine",), ()]
    assert [context.price_micros for context in contexts] == [5, 5, None]


async def test_unacknowledged_events_are_503_with_a_verdict_each(http: httpx.AsyncClient, world: World) -> None:
    world.publisher.answer = Unconfirmed("kafka is away")
    response = await http.post("/v1/events", json=[event(), "nonsense"])
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    assert [each["verdict"] for each in response.json()["verdicts"]] == ["unconfirmed", "rejected"]


async def test_a_full_gateway_is_503_and_takes_nothing(http: httpx.AsyncClient, world: World) -> None:
    world.publisher.full = True
    response = await http.post("/v1/events", json=[event()])
    assert response.status_code == 503
    assert "retry-after" in response.headers
    assert world.publisher.records == []


@pytest.mark.parametrize("body", [b"", b"7", b'"x"', b"{]", b'{"event": []}', b"\xff"])
async def test_a_body_that_is_no_batch_is_422(http: httpx.AsyncClient, body: bytes) -> None:
    response = await http.post("/v1/events", content=body)
    assert response.status_code == 422
    assert response.json()["reason"] in ("malformed", "contract")


async def test_too_many_events_and_too_many_bytes_are_413(http: httpx.AsyncClient) -> None:
    many = await http.post("/v1/events", json=[1] * 1_001)
    large = await http.post("/v1/events", content=b" " * (EVENT_BODY_BYTES_MAX + 1))
    assert (many.status_code, large.status_code) == (413, 413)
    assert "1001" in many.json()["detail"]


async def test_a_large_body_without_a_declared_length_is_cut_off_too(http: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * (EVENT_BODY_BYTES_MAX // 50)

    assert (await http.post("/v1/events", content=pieces())).status_code == 413


async def test_an_event_of_too_many_bytes_is_refused_alone(http: httpx.AsyncClient) -> None:
    large = event("e1", session_id="s") | {"context": {"attributes": {"x": "y" * 20_000}}}
    answer = (await http.post("/v1/events", json=[large, event("e2")])).json()
    assert answer["verdicts"][0]["reason"] == "oversize"
    assert answer["accepted"] == 1


async def test_items_are_taken_with_their_id_as_key(http: httpx.AsyncClient, world: World) -> None:
    answer = (await http.post("/v1/items", json={"items": [{"item_id": "new", "title": "New"}, {"title": "?"}]})).json()
    assert (answer["accepted"], answer["rejected"]) == (1, 1)
    assert [(record.topic, record.key) for record in world.publisher.records] == [("items", "new")]


async def test_similar_items_leave_the_item_itself_out(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/v1/similar/alien?count=1")).json()
    assert [item["item_id"] for item in answer["items"]] == ["aliens"]


async def test_an_item_that_only_the_catalogue_knows_gets_what_is_trending(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/v1/similar/heat")).json()
    assert [(item["item_id"], item["source"]) for item in answer["items"]] == [
        ("titanic", "popular"),
        ("dune", "popular"),
    ]


async def test_an_item_that_nobody_knows_is_404(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/similar/unheard")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:firth:problem:unknown-item"


async def test_trending_is_followed_by_popular(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/v1/trending?count=2")).json()
    assert [(item["item_id"], item["source"]) for item in answer["items"]] == [
        ("heat", "trending"),
        ("titanic", "popular"),
    ]


async def test_a_count_out_of_range_is_a_problem(http: httpx.AsyncClient) -> None:
    response = await http.get("/v1/trending?count=101")
    assert response.status_code == 422
    assert response.json()["field"] == "count"


async def test_a_visitors_features_are_shown_as_the_stores_have_them(http: httpx.AsyncClient, world: World) -> None:
    answer = (await http.get("/v1/visitors/ada")).json()
    assert answer["session"]["session_items"] == ["alien"]
    assert answer["profile"]["interactions"] == 1
    assert answer["history"] is None
    assert answer["titles"] == {"alien": "Alien"}
    assert answer["unknown_items"] == []
    assert answer["age_ms"] == 0
    assert answer["session_is_current"]


async def test_an_item_that_nobody_listed_is_told_among_what_a_visitor_did(
    http: httpx.AsyncClient, world: World
) -> None:
    world.speed.rows["bob"] = speed_rows("alien", "unheard", "category:film")
    answer = (await http.get("/v1/visitors/bob")).json()
    assert answer["unknown_items"] == ["unheard"]
    assert answer["titles"] == {"alien": "Alien", "unheard": "", "category:film": "film"}


async def test_an_unknown_visitor_has_no_features_and_no_age(http: httpx.AsyncClient) -> None:
    answer = (await http.get("/v1/visitors/nobody")).json()
    assert (answer["session"], answer["age_ms"], answer["degraded"]) == (None, None, [])


async def test_a_server_that_starts_or_stops_is_alive_but_not_ready(http: httpx.AsyncClient, world: World) -> None:
    world.readiness = Readiness(ready=False, checks={"catalogue": "reading"})
    assert (await http.get("/healthz")).status_code == 200
    response = await http.get("/readyz")
    assert response.status_code == 503
    assert response.json()["checks"] == {"catalogue": "reading"}


async def test_metrics_count_answers_by_route(http: httpx.AsyncClient) -> None:
    await http.get("/healthz")
    text = (await http.get("/metrics")).text
    assert 'firth_serving_requests_total{route="health",status="2xx"}' in text
    assert {line.split("_")[1] for line in text.splitlines() if line.startswith("firth_")} == {"serving"}


async def test_openapi_describes_every_route_and_resolves_every_reference(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    assert {"/v1/events", "/v1/recommendations", "/v1/visitors/{visitor_id}"} <= document["paths"].keys()
    text = msgspec.json.encode(document).decode()
    named = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= document["components"]["schemas"].keys()


async def test_an_unknown_path_and_a_wrong_method_are_problems_too(http: httpx.AsyncClient) -> None:
    assert (await http.get("/v2")).headers["content-type"] == "application/problem+json"
    assert (await http.get("/v1/events")).status_code == 405


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RejectedEvent(Reason.CONTRACT, "kind", "no"), 422),
        (ContractError("no"), 422),
        (DependencyError("redis", "away", "start it"), 503),
        (ConsistencyError("no"), 500),
        (ConfigurationError("X", "no", "yes"), 500),
        (PlatformError("no"), 500),
    ],
)
def test_one_table_maps_every_kind_of_error(error: PlatformError, status: int) -> None:
    assert problem_of(error).status == status
