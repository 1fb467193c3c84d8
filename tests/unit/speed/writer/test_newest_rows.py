from __future__ import annotations

from dataclasses import dataclass

from domain.states import empty_row, encode_row
from speed.writer.writing import newest_rows


@dataclass
class Record:
    """What kafka-python hands out, as far as the writer looks."""

    key: bytes
    value: bytes | None
    topic: str = "visitor-states"


def row(key: str, offsets: dict[int, int], topic: str = "visitor-states") -> Record:
    state = empty_row()
    state.offsets = offsets
    return Record(key.encode(), encode_row(state), topic)


def kept(*records: Record) -> dict[tuple[str, str], dict[int, int]]:
    return {name: found.offsets for name, found in newest_rows(records).items()}


def test_the_newest_row_of_a_key_replaces_the_earlier_ones() -> None:
    assert kept(row("ada", {0: 1}), row("bob", {0: 2}), row("ada", {0: 3})) == {
        ("visitor-states", "ada"): {0: 3},
        ("visitor-states", "bob"): {0: 2},
    }


def test_a_row_that_a_replay_repeats_does_not_replace_a_later_one() -> None:
    assert kept(row("ada", {0: 9}), row("ada", {0: 4})) == {("visitor-states", "ada"): {0: 9}}


def test_the_same_key_on_two_topics_is_two_entities() -> None:
    assert len(kept(row("x", {0: 1}), row("x", {0: 1}, "item-states"))) == 2


def test_a_tombstone_says_nothing() -> None:
    assert kept(row("ada", {0: 1}), Record(b"ada", None)) == {("visitor-states", "ada"): {0: 1}}
