"""The guard: who may ask, how often, from which page, how long; and what nobody may read in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from infra import metrics
from infra.access_settings import AccessSettings
from serving.adapters.keys_file import KeyRing, Scope, new_key
from serving.api import application
from serving.api.guard import COOKIE, Access, Guard
from serving.api.scopes import ASKED, PRODUCED, READ, scope_of
from serving.api.token_buckets import TokenBuckets
from tests.unit.serving.fakes import World

KEYS = {scope: new_key(scope, [scope], 0) for scope in Scope}
RING = KeyRing(made.key for made in KEYS.values())
QUERY = {"visitor_id": "ada"}


def bearer(scope: Scope) -> dict[str, str]:
    return {"Authorization": f"Bearer {KEYS[scope].text}"}


@asynccontextmanager
async def guarded(world: World, **access: Any) -> AsyncIterator[httpx.AsyncClient]:
    world.access = Access(ring=lambda: RING, **access)
    transport = httpx.ASGITransport(application.build(world.services()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080") as client:
        yield client


REQUESTS = [
    ("POST", "/v1/recommendations", Scope.CONSUME),
    ("GET", "/v1/trending", Scope.CONSUME),
    ("GET", "/v1/items", Scope.CONSUME),
    ("GET", "/v1/visitors/ada", Scope.CONSUME),
    ("POST", "/v1/events", Scope.PRODUCE),
    ("POST", "/v1/items", Scope.ADMIN),
    ("GET", "/v1/rules", Scope.ADMIN),
    ("PUT", "/v1/rules/r", Scope.ADMIN),
    ("DELETE", "/v1/rules/r", Scope.ADMIN),
]


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
async def test_only_a_key_with_the_routes_scope_gets_to_it(world: World, method: str, path: str, scope: Scope) -> None:
    async with guarded(world, require_keys=True) as http:
        answers = {each: await http.request(method, path, headers=bearer(each), json={}) for each in Scope}
        assert {each for each, answer in answers.items() if answer.status_code not in (401, 403)} == {scope}
        refused = next(answer for each, answer in answers.items() if each is not scope)
        assert refused.json()["type"] == "urn:firth:problem:forbidden"
        assert scope in refused.json()["detail"]


@pytest.mark.parametrize("sent", [None, "", "Bearer", "Bearer wrong", "Basic {key}", "Bearer {key}é", "Bearer {key} x"])
async def test_without_a_good_key_nothing_is_read_or_changed(world: World, sent: str | None) -> None:
    text = None if sent is None else sent.format(key=KEYS[Scope.ADMIN].text)
    headers: dict[bytes, bytes] = {} if text is None else {b"Authorization": text.encode()}
    async with guarded(world, require_keys=True) as http:
        for method, path, _ in REQUESTS:
            response = await http.request(method, path, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.headers["content-type"] == "application/problem+json"
    assert world.publisher.records == []


async def test_what_operators_and_browsers_fetch_first_needs_no_key(world: World) -> None:
    async with guarded(world, require_keys=True) as http:
        for path in ("/", "/page/main.js", "/healthz", "/readyz", "/metrics", "/openapi.json"):
            assert (await http.get(path)).status_code == 200, path


async def test_a_server_that_asks_for_no_keys_answers_everybody(world: World) -> None:
    async with guarded(world) as http:
        assert (await http.post("/v1/recommendations", json=QUERY, headers=bearer(Scope.ADMIN))).status_code == 200
        assert (await http.get("/v1/rules")).status_code == 200


def test_keys_are_asked_for_where_others_can_reach_the_server() -> None:
    assert not AccessSettings().asks_for_keys("127.0.0.1")
    assert AccessSettings().asks_for_keys("0.0.0.0")
    assert AccessSettings(require_keys=True).asks_for_keys("127.0.0.1")
    assert not AccessSettings(require_keys=False).asks_for_keys("0.0.0.0")


def test_every_route_is_named_in_the_table_and_an_unnamed_one_is_for_administrators(world: World) -> None:
    paths = application.build(world.services()).openapi()["paths"]
    heads = {path.split("/")[2] for path in paths if path.startswith("/v1/")}
    assert len(heads) > 8
    assert heads - ASKED - PRODUCED - READ - {"rules", "catalogue"} == set()
    assert scope_of("GET", "/v1/unheard") is Scope.ADMIN


async def test_the_document_tells_the_scope_of_each_route(world: World) -> None:
    async with guarded(world) as http:
        document = (await http.get("/openapi.json")).json()
    asked = document["paths"]["/v1/events"]["post"]
    assert asked["security"] == [{"key": []}]
    assert "`produce`" in asked["description"]
    assert {"401", "403", "429"} <= asked["responses"].keys()
    assert "security" not in document["paths"]["/healthz"]["get"]


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(world: World) -> None:
    clock = [0.0]
    buckets = TokenBuckets(4, lambda: clock[0])
    async with guarded(world, require_keys=True, requests_per_s=0.5, buckets=buckets) as http:

        async def ask(scope: Scope = Scope.CONSUME) -> httpx.Response:
            return await http.get("/v1/trending" if scope is Scope.CONSUME else "/v1/rules", headers=bearer(scope))

        first = await ask()
        assert first.headers["ratelimit-policy"] == '"key";q=2;w=4'
        assert first.headers["ratelimit"] == '"key";r=1;t=2'
        assert (await ask()).status_code == 200
        refused = await ask()
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "2")
        assert refused.json()["type"] == "urn:firth:problem:limited"
        assert refused.headers["ratelimit"] == '"key";r=0;t=4'
        assert (await ask(Scope.ADMIN)).status_code == 200, "each key has a bucket of its own"
        clock[0] += 2
        assert (await ask()).status_code == 200


async def test_a_page_of_another_origin_may_not_ask_unless_it_is_named(world: World) -> None:
    foreign = {"Origin": "https://evil.example"}
    async with guarded(world, allowed_origins=frozenset({b"https://shop.example"})) as http:
        for origin in ("https://evil.example", "null", "https://shop.example.evil.example", "http://127.0.0.1:9"):
            refused = await http.post("/v1/recommendations", json=QUERY, headers={"Origin": origin})
            assert refused.status_code == 403, origin
            assert "access-control-allow-origin" not in refused.headers
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        assert (await http.options("/v1/events", headers=foreign | asked)).status_code == 403
        shop = {"Origin": "https://shop.example"}
        preflight = await http.options("/v1/events", headers=shop | asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        answer = await http.post("/v1/recommendations", json=QUERY, headers=shop)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert "access-control-allow-credentials" not in answer.headers
        own = await http.post("/v1/recommendations", json=QUERY, headers={"Origin": "http://127.0.0.1:8080"})
        assert own.status_code == 200


async def test_the_page_gets_its_key_as_a_cookie_that_scripts_cannot_read(world: World) -> None:
    text = KEYS[Scope.CONSUME].text
    async with guarded(world, require_keys=True, page_key=lambda: text) as http:
        cookie = (await http.get("/")).headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}={text};")
        assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
        http.cookies.clear()
        with_key = {"Cookie": f"other=1; {COOKIE}={text}"}
        assert (await http.get("/v1/trending", headers=with_key)).status_code == 200
        assert (await http.get("/v1/trending", headers=with_key | {"Origin": "http://x"})).status_code == 403
        by_name = await http.get("/", headers={"Host": "rebound.example"})
        assert "set-cookie" not in by_name.headers
    async with guarded(world, require_keys=True) as http:
        assert "set-cookie" not in (await http.get("/")).headers
        assert (await http.get("/v1/trending", headers=with_key)).status_code == 401, "no page key, no cookie"


async def test_answers_carry_headers_that_keep_a_page_safe_and_personal_answers_out_of_caches(world: World) -> None:
    async with guarded(world) as http:
        page = await http.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert (await http.get("/v1/visitors/ada")).headers["cache-control"] == "no-store"


async def test_a_request_that_is_not_sent_or_answered_in_time_is_503(world: World) -> None:
    async def never_ending() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    async with guarded(world, timeout_s=0.05) as http:
        response = await http.post("/v1/events", content=never_ending())
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"


async def test_a_timeout_of_the_applications_own_is_a_crash_as_any_other() -> None:
    app = FastAPI()

    @app.get("/v1/trending")
    async def fail() -> None:
        raise TimeoutError("its own")

    transport = httpx.ASGITransport(Guard(app, Access()), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://firth") as http:
        assert (await http.get("/v1/trending")).status_code == 500


async def test_refusals_are_counted_by_reason(world: World) -> None:
    def count(reason: str) -> float:
        return float(metrics.SERVING_REFUSED.labels(reason)._value.get())

    before = {reason: count(reason) for reason in metrics.REFUSALS}
    async with guarded(world, require_keys=True) as http:
        await http.get("/v1/trending")
        await http.get("/v1/trending", headers=bearer(Scope.ADMIN))
        await http.get("/v1/trending", headers={"Origin": "http://x"})
    counted = {reason: count(reason) - before[reason] for reason in metrics.REFUSALS}
    assert counted == {"unauthorised": 1, "forbidden": 1, "origin": 1, "limited": 0, "timeout": 0}


class Crash(Exception):
    """Something that nobody expected."""


async def test_no_log_names_a_visitor_or_a_key(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def crash(*_: Any) -> None:
        raise Crash

    caplog.set_level(logging.INFO, logger="serving")
    world.publisher.full = True
    visitor, event = "v-secret-7", {"event_id": "e", "item_id": "i", "kind": "view", "occurred_at_ms": 1}
    async with guarded(world, require_keys=True) as http:
        for scope in Scope:
            for method, path in (
                ("POST", "/v1/recommendations"),
                ("POST", "/v1/events"),
                ("GET", f"/v1/visitors/{visitor}"),
                ("GET", f"/v1/explain?visitor_id={visitor}&item_id=x"),
                ("GET", f"/v1/{visitor}"),
            ):
                body = {"visitor_id": visitor} if "rec" in path else {"events": [{**event, "visitor_id": visitor}]}
                await http.request(method, path, headers=bearer(scope), json=body)
        monkeypatch.setattr(type(world.speed), "read", crash)
        assert (await http.get(f"/v1/visitors/{visitor}", headers=bearer(Scope.CONSUME))).status_code == 500
    said = "\n".join(f"{record.getMessage()} {vars(record)} {record.exc_text}" for record in caplog.records)
    assert "request.failed" in said
    assert "request.crashed" in said
    assert visitor not in said
    assert not any(made.text in said for made in KEYS.values())
