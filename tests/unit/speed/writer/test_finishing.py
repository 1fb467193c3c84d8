from __future__ import annotations

import msgspec
import pytest

from domain.merge import session_cells, stream_cells
from domain.policies import Policies
from domain.states import STATE_VERSION, encode_row
from feature_repo.layout import EntityKeys
from feature_repo.views import ITEM_TREND, VISITOR_RECENT, VISITOR_SESSION, View
from speed.writer.finishing import FeatureUpdate, Finisher, UnreadableRow, covers, read_row
from tests.rows import item_row, visitor_row

POLICIES = Policies()


def stored(update: FeatureUpdate, view: View) -> dict[str, object] | None:
    """The cells of a view as a reader of the store decodes them."""
    layout = view.layout()
    (row,) = [row for row in update.rows if row.view == view.name]
    found = dict(zip(row.fields[::2], row.fields[1::2], strict=True))
    return layout.decode([found.get(field) for field in layout.fields])


def test_a_visitors_row_becomes_its_session_and_its_recent_buckets() -> None:
    row = visitor_row(days=[0, 1])
    update = Finisher("shop", POLICIES).visitor("ada", row)
    assert update.key == EntityKeys("shop", "visitor_id").key("ada")
    assert stored(update, VISITOR_SESSION) == session_cells(row, POLICIES)
    assert msgspec.to_builtins(stored(update, VISITOR_RECENT)) == msgspec.to_builtins(stream_cells("visitor", row))


def test_an_items_row_becomes_its_trend() -> None:
    row = item_row(days=[0])
    update = Finisher("shop", POLICIES).item("book", row)
    assert update.key == EntityKeys("shop", "item_id").key("book")
    assert msgspec.to_builtins(stored(update, ITEM_TREND)) == msgspec.to_builtins(stream_cells("item", row))


def test_a_visitor_without_visits_has_no_session() -> None:
    row = visitor_row(days=[0])
    row.visits = []
    assert [written.view for written in Finisher("shop", POLICIES).visitor("ada", row).rows] == ["visitor_recent"]


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


def test_a_row_of_another_release_stops_the_writer() -> None:
    row = visitor_row(days=[0])
    row.version = STATE_VERSION + 1
    with pytest.raises(UnreadableRow, match="same release"):
        read_row(encode_row(row))


def test_what_is_no_row_stops_the_writer() -> None:
    with pytest.raises(UnreadableRow):
        read_row(b"no row")
