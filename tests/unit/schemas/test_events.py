from __future__ import annotations

import json
from typing import Any

import pytest

from schemas.errors import Reason, RejectedEvent
from schemas.events import EVENT_BYTES_MAX, InteractionEvent, convert, decode_interaction, encode
from tests.builders import interaction


def body(**changes: Any) -> bytes:
    fields = {"event_id": "e", "visitor_id": "v", "item_id": "i", "kind": "view", "occurred_at_ms": 1} | changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def rejection(raw: bytes) -> RejectedEvent:
    with pytest.raises(RejectedEvent) as caught:
        decode_interaction(raw)
    return caught.value


def test_an_event_survives_encoding() -> None:
    event = interaction(categories=("drama",), session_id="s", value=4.5)
    assert decode_interaction(encode(event)) == event


def test_defaults_are_left_out_on_the_wire() -> None:
    assert json.loads(encode(decode_interaction(body()))).keys() == {
        "event_id",
        "visitor_id",
        "item_id",
        "kind",
        "occurred_at_ms",
    }


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (body(kind="stare"), "kind"),
        (body(item_id=...), "item_id"),
        (body(item_id=""), "item_id"),
        (body(colour="red"), "colour"),
        (body(occurred_at_ms=-1), "occurred_at_ms"),
        (body(occurred_at_ms="now"), "occurred_at_ms"),
        (body(visitor_id="a\nb"), "visitor_id"),
        (body(visitor_id="a" * 129), "visitor_id"),
        (body(context={"categories": ["ok", 7]}), "context.categories[1]"),
        (body(context={"utc_offset_min": 900}), "context.utc_offset_min"),
        (body(schema_version=2), "schema_version"),
    ],
)
def test_a_broken_field_is_named(raw: bytes, field: str) -> None:
    found = rejection(raw)
    assert (found.reason, found.field) == (Reason.CONTRACT, field)


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"{'a': 1}"])
def test_what_is_not_json_is_malformed(raw: bytes) -> None:
    assert rejection(raw).reason is Reason.MALFORMED


def test_json_that_is_no_object_breaks_the_contract() -> None:
    assert rejection(b"[1]").reason is Reason.CONTRACT


@pytest.mark.parametrize("start", [b"", b'{"context":', b'{"context":{"attributes":{"a":', b'{"colour":'])
@pytest.mark.parametrize("piece", [b"[", b'{"a":'])
def test_nesting_beyond_all_reason_breaks_the_contract(start: bytes, piece: bytes) -> None:
    assert rejection(start + piece * 3_000).reason is Reason.CONTRACT


def test_a_number_beyond_a_double_is_refused() -> None:
    assert rejection(body().replace(b'"kind"', b'"value": 1e999, "kind"')).field == "value"


def test_an_event_of_the_exact_size_limit_is_read_and_one_beyond_is_oversize() -> None:
    raw = body()
    assert decode_interaction(raw + b" " * (EVENT_BYTES_MAX - len(raw))).event_id == "e"
    assert rejection(raw + b" " * (EVENT_BYTES_MAX - len(raw) + 1)).reason is Reason.OVERSIZE


def test_parsed_json_gets_the_verdict_of_its_bytes() -> None:
    with pytest.raises(RejectedEvent) as caught:
        convert(InteractionEvent, json.loads(body(kind="stare")))
    assert str(caught.value) == str(rejection(body(kind="stare")))
