"""What is left out, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from domain.cursors import checksum
from domain.filters import Filter
from domain.slates import Act, Candidate, Query, Removal, Source, Visitor
from domain.unwanted import remove_unwanted
from schemas.events import ItemEvent

CATALOGUE = {
    "gone": ItemEvent(item_id="gone", deleted=True),
    "cheap": ItemEvent(item_id="cheap", price_micros=1_000_000),
    "dear": ItemEvent(item_id="dear", price_micros=50_000_000),
}
ASKED = Query(visitor_id="ada", count=3, asked_at_ms=10_000)


def removals(query: Query, *items: str) -> dict[str, Removal]:
    """Why each item is left out; it must be kept when it is not there."""
    filtered = remove_unwanted(query, [candidate(item) for item in items], CATALOGUE.get)
    removed = {each.candidate.item_id: each.why for each in filtered.removed}
    assert [each.item_id for each in filtered.kept] == [item for item in items if item not in removed]
    return removed


def candidate(item: str) -> Candidate:
    return Candidate(item, Source.SESSION, 1.0)


def asked(**fields: Any) -> Query:
    return replace(ASKED, **fields)


def test_what_is_removed_is_told_with_its_reason() -> None:
    visitor = Visitor(session=(Act("s", "view", 0),), past=(Act("p", "view", 0),), at_hand=(Act("h", "cart", 0),))
    query = asked(exclude=frozenset({"x"}), visitor=visitor, shown_before=frozenset({checksum("b")}))
    assert removals(query, "x", "b", "s", "p", "h", "gone", "kept") == {
        "x": Removal.EXCLUDED,
        "b": Removal.SHOWN_BEFORE,
        "s": Removal.SEEN,
        "p": Removal.SEEN,
        "h": Removal.SEEN,
        "gone": Removal.DELETED,
    }


def test_a_filter_leaves_out_what_does_not_fulfil_it_and_what_nobody_knows() -> None:
    query = asked(filter=Filter.of("price < 20"))
    assert removals(query, "cheap", "dear", "unheard") == {"dear": Removal.FILTERED, "unheard": Removal.FILTERED}


def test_an_item_that_nobody_knows_has_an_id() -> None:
    query = asked(filter=Filter.of('item_id = "unheard" or price > 20'))
    assert removals(query, "cheap", "dear", "unheard") == {"cheap": Removal.FILTERED}
