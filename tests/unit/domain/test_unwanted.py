"""What is left out, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from domain.cursors import checksum
from domain.filters import Filter
from domain.onboarding import item_for
from domain.slates import Act, Candidate, Query, Removal, Source, Visitor
from domain.unwanted import remove_unwanted
from schemas.events import ItemEvent

ITEMS = {
    "gone": ItemEvent(item_id="gone", deleted=True),
    "cheap": ItemEvent(item_id="cheap", price_micros=1_000_000),
    "dear": ItemEvent(item_id="dear", price_micros=50_000_000),
    "hidden": ItemEvent(item_id="hidden", hidden=True),
    "sold out": ItemEvent(item_id="sold out", in_stock=False),
    "horror": ItemEvent(item_id="horror", age_min=18),
    "milk": ItemEvent(item_id="milk", repeatable=True),
    "red": ItemEvent(item_id="red", variant_of="shirt"),
    "blue": ItemEvent(item_id="blue", variant_of="shirt"),
}


@dataclass(frozen=True)
class FakeShelf:
    """The items, of which two are variants."""

    has_variants: bool = True

    def item(self, item_id: str) -> ItemEvent | None:
        return ITEMS.get(item_id)

    def group_of(self, item_id: str) -> str:
        item = self.item(item_id)
        return item_id if item is None else item.variant_of or item_id


ASKED = Query(visitor_id="ada", count=3, asked_at_ms=10_000)


def removals(query: Query, *items: str) -> dict[str, Removal]:
    """Why each item is left out; it must be kept when it is not there."""
    filtered = remove_unwanted(query, [candidate(item) for item in items], FakeShelf())
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


def test_the_catalogue_hides_what_is_hidden_out_of_stock_or_for_an_older_age() -> None:
    assert removals(asked(age=12), "hidden", "sold out", "horror", "cheap") == {
        "hidden": Removal.HIDDEN,
        "sold out": Removal.OUT_OF_STOCK,
        "horror": Removal.AGE,
    }
    assert removals(asked(age=18), "horror") == removals(ASKED, "horror") == {}


def test_what_stands_for_a_category_is_never_shown() -> None:
    assert removals(ASKED, item_for("drama")) == {"category:drama": Removal.HIDDEN}


def test_a_variant_counts_as_what_the_visitor_has_seen_or_the_caller_excludes_or_a_page_has_shown() -> None:
    seen = asked(visitor=Visitor(past=(Act("red", "view", 0),)))
    assert removals(seen, "blue", "shirt", "cheap") == {"blue": Removal.SEEN, "shirt": Removal.SEEN}
    assert removals(asked(exclude=frozenset({"blue"})), "red") == {"red": Removal.EXCLUDED}
    assert removals(asked(shown_before=frozenset({checksum("shirt")})), "red") == {"red": Removal.SHOWN_BEFORE}


def test_only_a_repeatable_item_comes_back_and_not_in_the_session_in_which_it_was_bought() -> None:
    bought = (Act("cheap", "purchase", 0), Act("milk", "purchase", 0))
    assert removals(asked(visitor=Visitor(past=bought)), "milk", "cheap") == {"cheap": Removal.SEEN}
    assert removals(asked(visitor=Visitor(session=bought, past=bought)), "milk") == {"milk": Removal.SEEN}
    disliked = (Act("milk", "dislike", 0),)
    assert removals(asked(visitor=Visitor(past=disliked)), "milk") == {"milk": Removal.SEEN}
