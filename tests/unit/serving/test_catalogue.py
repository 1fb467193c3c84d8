"""The catalogue in memory."""

from __future__ import annotations

from schemas.events import ItemEvent, encode
from serving.adapters.catalogue import Catalogue


def catalogue(**titles: str) -> Catalogue:
    made = Catalogue()
    made.take({item: encode(ItemEvent(item_id=item, title=title)) for item, title in titles.items()})
    return made


def found(in_catalogue: Catalogue, text: str, limit: int = 10) -> list[str]:
    return [item.item_id for item in in_catalogue.search(text, limit)]


def test_a_title_is_found_by_all_its_words_in_any_order_and_case() -> None:
    films = catalogue(a="The Empire Strikes Back", b="Empire Records")
    assert found(films, "BACK empire") == ["a"]


def test_titles_that_begin_with_the_text_come_first() -> None:
    assert found(catalogue(a="An Empire", b="Empire Records"), "empire") == ["b", "a"]


def test_a_search_is_bounded_and_nothing_finds_nothing() -> None:
    films = catalogue(a="One", b="One", c="One")
    assert found(films, "one", limit=2) == ["a", "b"]
    assert found(films, "  ") == []


def test_a_newer_word_on_an_item_replaces_the_older_one() -> None:
    films = catalogue(a="Old")
    films.take({"a": encode(ItemEvent(item_id="a", title="New"))})
    assert found(films, "old") == []
    assert films.title("a") == "New"


def test_a_deleted_item_is_known_to_be_gone_and_is_not_found() -> None:
    films = catalogue(a="One", b="Two")
    films.take({"a": encode(ItemEvent(item_id="a", deleted=True)), "b": None})
    assert films.is_deleted("a")
    assert films.is_deleted("b")
    assert found(films, "one") == found(films, "two") == []
    assert len(films) == 0


def test_an_unknown_item_is_not_deleted_and_an_unreadable_one_is_passed_over() -> None:
    films = catalogue(a="One")
    films.take({"b": b"not json"})
    assert not films.is_deleted("b")
    assert films.title("b") == ""
