from __future__ import annotations

from dataclasses import dataclass

from domain.rows import empty_row, encode_row
from speed.tombstones import HEADER, encode_offsets
from speed.writer.finishing import Tombstone
from speed.writer.writing import Newest, newest_of_keys


@dataclass
class Record:
    """What kafka-python hands out, as far as the writer looks."""

    key: bytes
    value: bytes | None
    topic: str = "visitor-states"
    headers: tuple[tuple[str, bytes], ...] = ()


def row(key: str, offsets: dict[int, int], topic: str = "visitor-states") -> Record:
    state = empty_row()
    state.offsets = offsets
    return Record(key.encode(), encode_row(state), topic)


def tombstone(key: str, through: dict[int, int] | None) -> Record:
    headers = () if through is None else ((HEADER, encode_offsets(through)),)
    return Record(key.encode(), None, headers=headers)


def kept(*records: Record) -> dict[tuple[str, str], dict[int, int]]:
    found = newest_of_keys(records).items()
    return {name: newest.row.offsets for name, newest in found if newest.row is not None}


def of_ada(*records: Record) -> tuple[dict[int, int] | None, Tombstone | None]:
    newest = newest_of_keys(records).get(("visitor-states", "ada"), Newest())
    return (None if newest.row is None else newest.row.offsets), newest.tombstone


def test_the_newest_row_of_a_key_replaces_the_earlier_ones() -> None:
    assert kept(row("ada", {0: 1}), row("bob", {0: 2}), row("ada", {0: 3})) == {
        ("visitor-states", "ada"): {0: 3},
        ("visitor-states", "bob"): {0: 2},
    }


def test_a_row_that_a_replay_repeats_does_not_replace_a_later_one() -> None:
    assert kept(row("ada", {0: 9}), row("ada", {0: 4})) == {("visitor-states", "ada"): {0: 9}}


def test_a_row_of_the_same_offsets_takes_the_place_of_the_one_before_as_after_the_catalogue_has_grown() -> None:
    grown = empty_row()
    grown.offsets, grown.received_at_ms = {0: 9}, 5
    records = [row("ada", {0: 9}), Record(b"ada", encode_row(grown), "visitor-states")]
    newest = newest_of_keys(records)["visitor-states", "ada"].row
    assert newest is not None
    assert encode_row(newest) == encode_row(grown)


def test_the_same_key_on_two_topics_is_two_entities() -> None:
    assert len(kept(row("x", {0: 1}), row("x", {0: 1}, "item-states"))) == 2


def test_a_tombstone_takes_the_place_of_the_rows_that_it_covers() -> None:
    assert of_ada(row("ada", {0: 5, 1: 7}), tombstone("ada", {0: 5, 1: 7})) == (None, Tombstone({0: 5, 1: 7}))


def test_a_row_after_a_tombstone_counts_though_it_includes_less() -> None:
    records = row("ada", {0: 5, 1: 7}), tombstone("ada", {0: 5, 1: 7}), row("ada", {0: 9})
    assert of_ada(*records) == ({0: 9}, Tombstone({0: 5, 1: 7}))


def test_a_tombstone_that_a_replay_repeats_does_not_remove_a_later_row() -> None:
    gone = tombstone("ada", {0: 5, 1: 7})
    assert of_ada(gone, row("ada", {0: 9}), gone) == ({0: 9}, Tombstone({0: 5, 1: 7}))


def test_several_tombstones_remove_what_each_of_them_does() -> None:
    records = tombstone("ada", {0: 5, 1: 7}), row("ada", {0: 9}), tombstone("ada", {0: 9})
    assert of_ada(*records) == (None, Tombstone({0: 9, 1: 7}))


def test_a_tombstone_without_offsets_removes_whatever_there_is() -> None:
    assert of_ada(row("ada", {0: 5}), tombstone("ada", None)) == (None, Tombstone(None))
    assert of_ada(tombstone("ada", None), tombstone("ada", {0: 5})) == (None, Tombstone(None))
    assert of_ada(tombstone("ada", None), row("ada", {0: 5})) == ({0: 5}, Tombstone(None))
