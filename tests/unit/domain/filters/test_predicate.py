"""Filters on items."""

from __future__ import annotations

import pytest

from domain.filters.predicate import Filter
from schemas.events import ItemEvent

DUNE = ItemEvent(
    item_id="dune",
    title="Dune",
    categories=("sci-fi", "drama"),
    tags=("desert",),
    price_micros=9_990_000,
    published_at_ms=1_000,
    attributes={"hd": True, "rating": 8.1, "year": 1984, "studio": "De Laurentiis", "sequel": None},
)
UNKNOWN = ItemEvent(item_id="unheard")


@pytest.mark.parametrize(
    "text",
    [
        'item_id = "dune"',
        'title in ("Dune", "Alien")',
        'category has "drama"',
        'category in ("comedy", "drama")',
        'tags has "desert"',
        "price = 9.99",
        "price < 9.990001",
        "price <= 9.99 and price >= 9.99",
        "price in (1, 9.99)",
        "published_at_ms > 999",
        "attributes.hd = true",
        "attributes.rating = 8.1",
        "attributes.rating <= 8.1 and attributes.rating >= 8.1",
        "attributes.year in (1984, 2021)",
        'attributes.studio != "Legendary"',
        "not attributes.sequel exists",
        'not (price > 20 or category has "comedy")',
    ],
)
def test_an_item_fulfils_what_it_says(text: str) -> None:
    assert Filter.of(text).matches(DUNE)


@pytest.mark.parametrize(
    "text",
    [
        'item_id = "Dune"',
        'category has "dram"',
        'category in ("comedy")',
        "price > 9.99",
        "price != 9.99",
        "attributes.hd = 1",
        "attributes.hd >= 1",
        "attributes.year = true",
        "attributes.studio > 3",
        'attributes.year = "1984"',
        "attributes.absent exists",
    ],
)
def test_an_item_does_not_fulfil_what_it_does_not_say(text: str) -> None:
    assert not Filter.of(text).matches(DUNE)


@pytest.mark.parametrize("text", ["price < 20", "price >= 0", "price exists", "title exists", 'category in ("drama")'])
def test_an_item_of_which_nothing_is_known_fulfils_nothing_but_a_negation(text: str) -> None:
    assert not Filter.of(text).matches(UNKNOWN)
    assert Filter.of(f"not {text}").matches(UNKNOWN)
