"""A small world behind the server, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from schemas.events import ItemEvent, encode
from serving.api import application
from tests.unit.serving.fakes import FakeModel, FakeSpeed, FakeTrends, World, speed_rows


@pytest.fixture
def world() -> World:
    made = World(
        model=FakeModel({"alien": ["aliens", "dune"]}, best=["titanic", "dune"]),
        speed=FakeSpeed({"ada": speed_rows("alien", kind="play")}),
        trends=FakeTrends(["heat"]),
    )
    films = {"alien": "Alien", "aliens": "Aliens", "dune": "Dune", "titanic": "Titanic", "heat": "Heat"}
    for item_id, title in films.items():
        item = ItemEvent(item_id=item_id, title=title, categories=("film",), price_micros=5)
        made.catalogue.take({item_id: encode(item)})
    return made


@pytest.fixture
async def http(world: World) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application.build(world.services()))
    async with httpx.AsyncClient(transport=transport, base_url="http://firth") as client:
        yield client
