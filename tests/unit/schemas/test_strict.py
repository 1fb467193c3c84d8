"""What an event is refused for does not depend on where its patterns are checked."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RejectedEvent
from schemas.events import InteractionEvent, ItemEvent, convert, decode
from schemas.strict import NO_CONTROL, strict

texts = st.text(st.characters(codec="utf-8", max_codepoint=0x2FF), min_size=1, max_size=6)
events = st.fixed_dictionaries(
    {"event_id": texts, "visitor_id": texts, "item_id": texts, "kind": st.just("view"), "occurred_at_ms": st.just(1)},
    optional={
        "user_id": texts,
        "context": st.fixed_dictionaries(
            {}, optional={"categories": st.lists(texts, max_size=2), "attributes": st.dictionaries(texts, texts)}
        ),
    },
)


def matched(event: dict[str, Any]) -> bool:
    """Whether all texts that have a pattern match it; the values of attributes have none."""
    context = event.get("context", {})
    named = [event[name] for name in ("event_id", "visitor_id", "item_id", "user_id") if name in event]
    return all(
        re.search(NO_CONTROL, one) for one in (*named, *context.get("categories", ()), *context.get("attributes", {}))
    )


def accepts(take: Any, *arguments: Any) -> bool:
    try:
        take(*arguments)
    except RejectedEvent:
        return False
    return True


@given(events)
def test_a_control_character_is_refused_wherever_a_pattern_forbids_it(event: dict[str, Any]) -> None:
    raw = msgspec.json.encode(event)
    assert accepts(decode, InteractionEvent, raw) == matched(event)
    assert accepts(decode, InteractionEvent, memoryview(raw)) == matched(event)
    assert accepts(convert, InteractionEvent, event) == matched(event)


@pytest.mark.parametrize("escape", ["\\u0001", "\\n", "\\t", "\\u001F", "\x01", "\n"], ids=ascii)
def test_no_spelling_of_a_control_character_passes(escape: str) -> None:
    assert not accepts(decode, ItemEvent, f'{{"item_id": "a{escape}b"}}'.encode())


def test_an_escape_that_is_no_control_character_passes() -> None:
    assert decode(ItemEvent, b'{"item_id": "a\\u00e9\\"\\\\b", "title": "two\\nlines"}').item_id == 'aé"\\b'


def test_the_twin_of_a_type_has_its_fields() -> None:
    assert strict(InteractionEvent).__struct_fields__ == InteractionEvent.__struct_fields__
