"""OpenAPI: every example is one, and every body that is asked for has one."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from schemas.events import InteractionEvent
from serving.api.documents import DOCUMENTED
from serving.api.examples import EXAMPLES

SHAPES = {shape.__name__: shape for shape in DOCUMENTED}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_one_and_the_examples_of_answers_are_whole(name: str) -> None:
    shape = SHAPES[name]
    decoded = msgspec.convert(EXAMPLES[name], shape)
    if not shape.__struct_config__.forbid_unknown_fields:
        assert msgspec.json.decode(msgspec.json.encode(decoded)) == EXAMPLES[name]


async def test_every_body_that_is_asked_for_has_an_example(http: httpx.AsyncClient) -> None:
    document = (await http.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    asked = {name for path in document["paths"].values() for route in path.values() for name in bodies(route)}
    assert asked >= {InteractionEvent.__name__, "RecommendationsRequest", "RankRequest", "RuleTerms", "PreviewRequest"}
    assert [name for name in sorted(asked) if not schemas[name].get("examples")] == []


def bodies(route: dict[str, Any]) -> set[str]:
    text = msgspec.json.encode(route.get("requestBody", {})).decode()
    return {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
