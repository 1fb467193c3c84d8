"""Schemathesis: the server holds what its OpenAPI document says, whether a request keeps to it or not.

All of it runs in this process, over the fakes, with keys asked for; the seed is fixed, so that a failure is no surprise
that nobody can repeat.
"""

from __future__ import annotations

from typing import Any

import msgspec
import schemathesis
from schemathesis.config import SchemathesisConfig

from schemas.events import ItemEvent, encode
from serving.adapters.keys_file import KeyRing, Scope, new_key
from serving.api import application
from serving.api.guard import Access
from tests.unit.serving.fakes import FakeModel, FakeSpeed, FakeTrends, World, speed_rows

KEY = new_key("everything", list(Scope), 0)
JUDGED_ONE_BY_ONE = ("/v1/events", "/v1/items", "/v1/catalogue")
"""An event or item that breaks the contract is no wrong request: it is rejected alone, and the answer tells."""

CONFIG: dict[str, Any] = {
    "seed": 7,
    "headers": {"Authorization": f"Bearer {KEY.text}"},
    "generation": {"max-examples": 6, "deterministic": True, "database": "none"},
    "phases": {"stateful": {"enabled": False}},
    "checks": {
        # A text may be no filter, a rule or an item unknown: the document cannot say which.
        "positive_data_acceptance": {"enabled": False},
    },
    "operations": [
        {
            "include-path": list(JUDGED_ONE_BY_ONE),
            "include-method": ["POST", "PUT"],
            "checks": {"negative_data_rejection": {"enabled": False}},
            "phases": {"coverage": {"enabled": False}},  # thousands of events at a time; tests/property has decoders
        }
    ],
}


@schemathesis.serializer("application/x-ndjson")
def as_a_line(_: Any, value: Any) -> bytes:
    """A feed of one item."""
    return msgspec.json.encode(value)


def build() -> Any:
    """The application over a small world."""
    world = World(
        model=FakeModel({"alien": ["aliens", "dune"]}, best=["titanic", "dune"]),
        speed=FakeSpeed({"ada": speed_rows("alien", kind="play")}),
        trends=FakeTrends(["heat"]),
        access=Access(ring=lambda: KeyRing([KEY.key]), require_keys=True, requests_per_s=1e9),
    )
    world.catalogue.take({item: encode(ItemEvent(item_id=item, title=item)) for item in ("alien", "heat")})
    return application.build(world.services())


SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", build(), config=SchemathesisConfig.from_dict(CONFIG))


@SCHEMA.parametrize()
def test_the_document_is_true(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate()
