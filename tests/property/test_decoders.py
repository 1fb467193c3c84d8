"""Whatever bytes come, a decoder returns what the contract allows or refuses it with a reason, and nothing else."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from domain.cursors import CursorError, shown_before
from schemas.errors import RejectedEvent
from schemas.events import ImpressionEvent, InteractionEvent, ItemEvent, decode, encode
from tests.builders import interaction

KINDS = (InteractionEvent, ItemEvent, ImpressionEvent)
GOOD: tuple[dict[str, Any], ...] = (
    msgspec.to_builtins(interaction("e1", item="i")),
    {"item_id": "i", "title": "T", "categories": ["c"], "price_micros": 1, "attributes": {"a": 1}},
)
leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["view", "\x00", "\ud800"])
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good event in which fields are missing, replaced or new, and now and then some bytes are others."""
    event = dict(draw(st.sampled_from(GOOD)))
    for name in draw(st.lists(st.sampled_from([*event, "new", "context"]), max_size=3)):
        event[name] = draw(values)
    for name in draw(st.lists(st.sampled_from(list(event)), max_size=2)):
        event.pop(name, None)
    raw = bytearray(json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    for place in draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        raw[place] = draw(st.integers(0, 255))
    return bytes(raw)


@given(st.binary(max_size=200) | mangled(), st.sampled_from(KINDS))
def test_bytes_are_an_event_that_survives_its_encoding_or_are_rejected_with_a_reason(raw: bytes, kind: Any) -> None:
    outcome = outcome_of(lambda: decode(kind, raw))
    if isinstance(outcome, RejectedEvent):
        assert outcome.reason
        assert outcome.detail
    else:
        assert decode(kind, encode(outcome)) == outcome


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: urlsafe_b64encode(b"\x01" + raw).decode()))
def test_a_text_is_a_cursor_or_is_refused(text: str) -> None:
    outcome = outcome_of(lambda: shown_before(text))
    assert isinstance(outcome, CursorError | frozenset)


def outcome_of(attempt: Callable[[], Any]) -> Any:
    """What it returns, or the refusal; any other error is a failure."""
    try:
        return attempt()
    except (RejectedEvent, CursorError) as refusal:
        return refusal
