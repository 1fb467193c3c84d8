from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.json_schema import FOLDER, PUBLISHED, breaking_changes, generate, render


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_the_committed_schema_is_what_the_types_say(name: str) -> None:
    assert (FOLDER / f"{name}.schema.json").read_text() == render(name)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_the_released_schema_accepts_is_still_accepted(name: str) -> None:
    released = json.loads((FOLDER / "released" / f"{name}.schema.json").read_text())
    assert breaking_changes(released, generate(name)) == []


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_a_schema_is_compatible_with_itself(name: str) -> None:
    assert breaking_changes(generate(name), generate(name)) == []


def interaction_of(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema["$defs"]["InteractionEvent"]
    return found


def drop_a_field(event: dict[str, Any]) -> None:
    del event["properties"]["value"]


def require_a_field(event: dict[str, Any]) -> None:
    event["required"].append("session_id")


def forget_a_kind(event: dict[str, Any]) -> None:
    event["properties"]["kind"]["enum"].remove("view")


def shorten_an_identifier(event: dict[str, Any]) -> None:
    event["properties"]["item_id"]["maxLength"] = 64


def change_a_type(event: dict[str, Any]) -> None:
    event["properties"]["item_id"]["type"] = "integer"


def forbid_none(event: dict[str, Any]) -> None:
    event["properties"]["user_id"]["anyOf"] = [
        alternative for alternative in event["properties"]["user_id"]["anyOf"] if alternative.get("type") != "null"
    ]


@pytest.mark.parametrize(
    "change", [drop_a_field, require_a_field, forget_a_kind, shorten_an_identifier, change_a_type, forbid_none]
)
def test_a_change_that_refuses_yesterdays_events_is_found(change: Callable[[dict[str, Any]], None]) -> None:
    before = generate("interaction")
    after = copy.deepcopy(before)
    change(interaction_of(after))
    assert breaking_changes(before, after)


def add_an_optional_field(event: dict[str, Any]) -> None:
    event["properties"]["campaign"] = {"type": "string"}


def add_a_kind(event: dict[str, Any]) -> None:
    event["properties"]["kind"]["enum"].append("share")


def lengthen_an_identifier(event: dict[str, Any]) -> None:
    event["properties"]["item_id"]["maxLength"] = 256


@pytest.mark.parametrize("change", [add_an_optional_field, add_a_kind, lengthen_an_identifier])
def test_a_change_that_accepts_more_is_compatible(change: Callable[[dict[str, Any]], None]) -> None:
    before = generate("interaction")
    after = copy.deepcopy(before)
    change(interaction_of(after))
    assert breaking_changes(before, after) == []
