from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from domain.merge import session_cells, stream_cells
from domain.policies import Policies
from domain.rows import STATE_VERSION, encode_row
from domain.states import ItemState
from feature_repo.layout import EntityKeys
from feature_repo.views import ITEM_TREND, VISITOR_RECENT, VISITOR_SESSION, View
from speed.tombstones import encode_offsets
from speed.writer import rows
from speed.writer.finishing import (
    FeatureUpdate,
    Finisher,
    Tombstone,
    UnreadableRow,
    covers,
    read_row,
    read_tombstone,
)
from tests.builders import fact, stamp
from tests.rows import item_row, opened, visitor_row

POLICIES = Policies()


def stored(update: FeatureUpdate, view: View) -> dict[str, object] | None:
    """The cells of a view as a reader of the store decodes them."""
    layout = view.layout()
    (row,) = [row for row in update.rows if row.view == view.name]
    found = dict(zip(row.fields, row.values, strict=True))
    return layout.decode([found.get(field) for field in layout.fields])


def in_pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def test_a_visitors_row_becomes_its_session_and_its_recent_buckets() -> None:
    row = visitor_row(days=[0, 1])
    update = Finisher("shop", POLICIES).visitor("ada", opened(row))
    assert update.key == EntityKeys("shop", "visitor_id").key("ada")
    assert stored(update, VISITOR_SESSION) == session_cells(row, POLICIES)
    assert msgspec.to_builtins(stored(update, VISITOR_RECENT)) == msgspec.to_builtins(stream_cells("visitor", row))


@pytest.mark.parametrize("days", [[], [0], [0, 1, 4]])
def test_what_is_put_together_from_encoded_buckets_is_what_the_view_encodes(days: list[int]) -> None:
    finisher = Finisher("shop", POLICIES)
    visitor, item = visitor_row(days=days), item_row(days=days)
    for _ in range(2):  # the second time, buckets that are over are remembered
        for view, update, cells in (
            (VISITOR_RECENT, finisher.visitor("ada", opened(visitor)), stream_cells("visitor", visitor)),
            (VISITOR_SESSION, finisher.visitor("ada", opened(visitor)), session_cells(visitor, POLICIES)),
            (ITEM_TREND, finisher.item("book", opened(item)), stream_cells("item", item)),
        ):
            written = [dict(zip(row.fields, row.values, strict=True)) for row in update.rows if row.view == view.name]
            assert written == ([] if cells is None else [in_pairs(view.layout().encode(cells, update.received_at_ms))])


def test_more_buckets_than_are_remembered_are_encoded_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BUCKETS_KEPT", 2)
    row, finisher = visitor_row(days=range(5)), Finisher("shop", POLICIES)
    for _ in range(3):
        assert msgspec.to_builtins(stored(finisher.visitor("ada", opened(row)), VISITOR_RECENT)) == msgspec.to_builtins(
            stream_cells("visitor", row)
        )


def test_a_bucket_or_a_visit_that_cannot_be_read_stops_the_writer() -> None:
    for place, field in ((4, [["no start", {}, 1]]), (5, [["no instant"]])):
        broken = msgspec.msgpack.decode(encode_row(visitor_row(days=[0])))
        broken[place] = field
        with pytest.raises(UnreadableRow, match="same release"):
            Finisher("shop", POLICIES).visitor("ada", read_row(msgspec.msgpack.encode(broken)))


def test_an_items_row_becomes_its_trend() -> None:
    row = item_row(days=[0])
    update = Finisher("shop", POLICIES).item("book", opened(row))
    assert update.key == EntityKeys("shop", "item_id").key("book")
    assert msgspec.to_builtins(stored(update, ITEM_TREND)) == msgspec.to_builtins(stream_cells("item", row))


def test_a_visitor_without_visits_has_no_session() -> None:
    row = visitor_row(days=[0])
    row.visits = []
    assert [written.view for written in Finisher("shop", POLICIES).visitor("ada", opened(row)).rows] == [
        "visitor_recent"
    ]


@pytest.mark.parametrize(
    ("newer", "older", "expected"),
    [
        ({0: 5}, {}, True),
        ({0: 5}, {0: 5}, True),
        ({0: 5}, {0: 6}, False),
        ({0: 5, 1: 0}, {0: 5}, True),
        ({0: 9}, {0: 5, 1: 0}, False),
        ({0: 9, 1: 1}, {0: 5, 1: 2}, False),
    ],
)
def test_a_row_covers_another_when_it_includes_all_of_its_records(
    newer: dict[int, int], older: dict[int, int], expected: bool
) -> None:
    assert covers(newer, older) is expected


@pytest.mark.parametrize(
    "old", [[2, 5, {0: 1}, 0, [[0, {"interactions": 1}, 1]], []], [STATE_VERSION - 1, 0, {}, 0, [], b""]]
)
def test_a_row_that_an_earlier_release_left_behind_is_passed_over(old: list[Any]) -> None:
    assert read_row(msgspec.msgpack.encode(old)) is None


def test_a_row_of_a_later_release_stops_the_writer() -> None:
    row = visitor_row(days=[0])
    row.version = STATE_VERSION + 1
    with pytest.raises(UnreadableRow, match="same release"):
        read_row(encode_row(row))


def test_what_is_no_row_stops_the_writer() -> None:
    with pytest.raises(UnreadableRow):
        read_row(b"no row")


def test_a_tombstone_removes_every_field_of_the_views_that_the_topic_owns() -> None:
    finisher = Finisher("shop", POLICIES)
    visitor = finisher.visitor("ada", None, Tombstone({0: 5}))
    assert (visitor.key, visitor.rows) == (EntityKeys("shop", "visitor_id").key("ada"), ())
    assert {removal.view: removal.fields for removal in visitor.removals} == {
        view.name: view.layout().fields for view in (VISITOR_RECENT, VISITOR_SESSION)
    }
    item = finisher.item("book", None, Tombstone({0: 5}))
    assert [(removal.view, removal.through) for removal in item.removals] == [("item_trend", {0: 5})]


def test_a_row_that_began_after_a_tombstone_comes_with_the_removal() -> None:
    row = visitor_row(days=[0])
    update = Finisher("shop", POLICIES).visitor("ada", opened(row), Tombstone(None))
    assert len(update.rows) == len(update.removals) == 2
    assert update.removals[0].through is None


def test_what_is_stored_does_not_depend_on_the_order_in_which_an_items_facts_came() -> None:
    facts = [fact(f"e{number}", item="book", kind=kind) for number, kind in enumerate(("view", "cart", "like", "play"))]
    stamps = [stamp(partition=partition, offset=offset) for partition, offset in ((3, 9), (0, 4), (2, 7), (0, 2))]
    arrivals = list(zip(facts, stamps, strict=True))
    seen = set()
    for order in itertools.permutations(arrivals):
        state = ItemState.load(None, POLICIES)
        for arrived, at in order:
            state.add(arrived, at)
        update = Finisher("shop", POLICIES).item("book", opened(state.row))
        seen.add((msgspec.msgpack.encode(update.offsets), *update.rows[0].values))
    assert len(seen) == 1


def test_the_header_of_a_tombstone_is_read_and_one_without_removes_whatever_there_is() -> None:
    assert read_tombstone(encode_offsets({1: 7, 0: 5})) == Tombstone({0: 5, 1: 7})
    assert read_tombstone(None) == Tombstone(None)


def test_a_tombstone_with_another_header_stops_the_writer() -> None:
    with pytest.raises(UnreadableRow, match="tombstone"):
        read_tombstone(b"no offsets")
