"""Items that were shown often and never taken."""

from __future__ import annotations

import httpx

from domain.policies import DAY_MS, MINUTE_MS
from domain.slates import Candidate, Query, Shown, Slate, Source
from serving.pipeline.resting import Resting, RestPolicy
from tests.unit.serving.fakes import World


def shown(at_ms: int, *items: str, visitor: str = "ada", personalise: bool = True) -> Slate:
    query = Query(visitor_id=visitor, count=2, asked_at_ms=at_ms, personalise=personalise)
    return Slate("s", query, tuple(Shown(Candidate(item, Source.POPULAR, 1.0)) for item in items), (), "m1")


def rested(resting: Resting, at_ms: int, visitor: str = "ada") -> set[str]:
    return set(resting.rested_for(Query(visitor_id=visitor, count=2, asked_at_ms=at_ms)))


def test_an_item_rests_when_it_was_shown_often_and_comes_back_when_others_were() -> None:
    resting = Resting(RestPolicy(shown_max=2, looked_at=3))
    for minute in range(2):
        resting.note(shown(minute * MINUTE_MS, "a", f"b{minute}"))
    assert rested(resting, 2 * MINUTE_MS) == {"a"}
    for minute in range(2, 4):
        resting.note(shown(minute * MINUTE_MS, "c"))
    assert rested(resting, 4 * MINUTE_MS) == {"c"}


def test_reloading_a_page_is_one_look_and_its_rows_are_one_too() -> None:
    resting = Resting(RestPolicy(shown_max=2))
    resting.note(shown(0, "a"))
    resting.note(shown(0, "b"))
    resting.note(shown(MINUTE_MS - 1, "a"))
    assert rested(resting, MINUTE_MS) == set()
    resting.note(shown(MINUTE_MS, "a", "b"))
    assert rested(resting, MINUTE_MS) == {"a", "b"}
    assert rested(resting, 2 * DAY_MS) == set()


def test_it_remembers_the_visitors_who_came_last_and_nobody_who_must_not_be_known() -> None:
    resting = Resting(RestPolicy(shown_max=1), visitors_max=2)
    for visitor in ("ada", "bob", "cy"):
        resting.note(shown(0, "a", visitor=visitor))
    assert [bool(rested(resting, 0, visitor)) for visitor in ("ada", "bob", "cy")] == [False, True, True]
    resting.note(shown(0, "a", visitor="dee", personalise=False))
    assert rested(resting, 0, "dee") == set()


async def test_a_slate_goes_without_rested_items_while_there_are_others_enough(
    http: httpx.AsyncClient, world: World
) -> None:
    body = {"visitor_id": "bob", "count": 1, "explain": True}
    for _ in range(5):
        assert (await http.post("/v1/recommendations", json=body)).json()["items"][0]["item_id"] == "heat"
        world.now_ms += MINUTE_MS
    answer = (await http.post("/v1/recommendations", json=body)).json()
    assert answer["items"][0]["item_id"] != "heat"
    assert {"item_id": "heat", "source": "trending", "why": "rested", "rule": None} in answer["removed"]
    every = (await http.post("/v1/recommendations", json=body | {"count": 3})).json()
    assert "heat" in [item["item_id"] for item in every["items"]]
