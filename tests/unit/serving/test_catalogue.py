"""The catalogue in memory."""

from __future__ import annotations

from typing import Any

from schemas.events import ItemEvent, encode
from serving.adapters.catalogue import Catalogue
from serving.adapters.title_index import TitleIndex, words_of


def catalogue(**titles: str) -> Catalogue:
    made = Catalogue()
    made.take({item: encode(ItemEvent(item_id=item, title=title)) for item, title in titles.items()})
    return made


def put(into: Catalogue, item: str, **fields: Any) -> None:
    into.take({item: encode(ItemEvent(item_id=item, **fields))})


def found(in_catalogue: Catalogue, text: str) -> set[str]:
    return in_catalogue.titles.find(words_of(text))


def test_a_title_is_found_by_the_beginnings_of_its_words_in_any_order_case_and_accent() -> None:
    films = catalogue(a="The Empire Strikes Back", b="Empire Records", c="Amélie")
    assert found(films, "BAC empi") == {"a"}
    assert found(films, "empire") == {"a", "b"}
    assert found(films, "amel") == {"c"}
    assert found(films, "mpire") == found(films, "  ") == found(films, "?!") == set()


def test_a_newer_word_on_an_item_replaces_the_older_one() -> None:
    films = catalogue(a="Old")
    put(films, "a", title="New")
    assert found(films, "old") == set()
    assert found(films, "new") == {"a"}
    assert films.title("a") == "New"


def test_a_begun_word_stands_for_so_many_words_at_most() -> None:
    index = TitleIndex()
    index.put((f"i{number}", f"word{number:04d}") for number in range(1_000))
    assert len(index.find(["word"])) == 500
    assert index.find(["word0999"]) == {"i999"}


def test_a_deleted_item_is_known_to_be_gone_and_is_not_found() -> None:
    films = catalogue(a="One", b="Two")
    films.take({"a": encode(ItemEvent(item_id="a", deleted=True)), "b": None})
    for gone in "ab":
        item = films.item(gone)
        assert item is not None
        assert item.deleted
    assert found(films, "one") == found(films, "two") == set()
    assert len(films) == 0


def test_an_unknown_item_is_not_deleted_and_an_unreadable_one_is_passed_over() -> None:
    films = catalogue(a="One")
    films.take({"b": b"not json"})
    assert films.item("b") is None
    assert films.title("b") == ""


def test_variants_count_as_the_item_that_they_name_while_there_are_any() -> None:
    shop = catalogue(shirt="Shirt")
    assert not shop.has_variants
    put(shop, "red", variant_of="shirt")
    assert shop.has_variants
    assert [shop.group_of(item) for item in ("shirt", "red", "unheard")] == ["shirt", "shirt", "unheard"]
    put(shop, "red", deleted=True)
    assert not shop.has_variants


def test_categories_are_counted_over_the_items_that_are_there() -> None:
    shop = Catalogue()
    put(shop, "a", categories=("x", "y"))
    put(shop, "b", categories=("x", "x"))
    assert shop.category_sizes() == {"x": 2, "y": 1}
    put(shop, "a", categories=("z",))
    put(shop, "b", deleted=True)
    assert shop.category_sizes() == {"z": 1}


def test_the_newest_items_are_those_published_last_that_are_there() -> None:
    shop = catalogue(undated="A")
    for item, at_ms in (("old", 1), ("new", 3), ("middle", 2)):
        put(shop, item, published_at_ms=at_ms)
    assert list(shop.newest()) == ["new", "middle", "old"]
    put(shop, "new", published_at_ms=3, deleted=True)
    assert list(shop.newest()) == ["middle", "old"]


def test_what_stands_for_a_category_is_called_by_its_name() -> None:
    assert Catalogue().title("category:drama") == "drama"
