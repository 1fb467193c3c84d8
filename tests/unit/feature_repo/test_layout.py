"""Rows in Feast's layout, without a store and without Feast; `tests/suites` compares the bytes with Feast's."""

from __future__ import annotations

from typing import Any

import pytest

from domain.aggregates import ColumnType
from feature_repo.layout import (
    BucketColumns,
    Columns,
    EntityKeys,
    UnreadableValue,
    UnstorableValue,
    ViewLayout,
    encoding,
)
from feature_repo.views import STORED_VIEWS
from schemas.errors import ConsistencyError

TWO = ViewLayout("view", [("count", ColumnType.INT), ("items", ColumnType.STRINGS)])
EXAMPLES: dict[ColumnType, Any] = {
    ColumnType.INT: -7,
    ColumnType.FLOAT: 0.5,
    ColumnType.STRING: "straße",
    ColumnType.INTS: [0, 127, 128, 1_795_299_367_123],
    ColumnType.FLOATS: [0.0, -1.5],
    ColumnType.STRINGS: ["a", ""],
    ColumnType.INT_LISTS: [[1, 2], [], [300]],
    ColumnType.STRING_LISTS: [["a"], []],
}


def stored(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def read(layout: ViewLayout, fields: dict[bytes, bytes]) -> dict[str, Any] | None:
    return layout.decode([fields.get(field) for field in layout.fields])


@pytest.mark.parametrize("view", STORED_VIEWS, ids=lambda view: view.name)
def test_a_row_of_every_view_reads_back_with_its_time(view: Any) -> None:
    layout, cells = view.layout(), {name: EXAMPLES[column_type] for name, column_type in view.columns}
    fields = stored(layout.encode(cells, at_ms=1_795_299_367_123))
    assert read(layout, fields) == cells
    assert layout.event_at_ms([fields.get(field) for field in layout.fields]) == 1_795_299_367_123


def test_a_null_reads_back_as_none() -> None:
    assert read(TWO, stored(TWO.encode({"count": None, "items": []}, at_ms=1))) == {"count": None, "items": []}


def test_a_row_that_is_not_there_is_none() -> None:
    assert read(TWO, {}) is None
    assert TWO.event_at_ms([None, None, None]) is None


def test_a_row_from_before_a_feature_was_added_has_none_for_it() -> None:
    older = ViewLayout("view", [("count", ColumnType.INT)])
    assert read(TWO, stored(older.encode({"count": 3}, at_ms=1))) == {"count": 3, "items": None}


@pytest.mark.parametrize("cells", [[3, ["a"]], [None, []], [0, ["é" * 300]]])
def test_a_blob_reads_back(cells: list[Any]) -> None:
    assert TWO.decode_blob(TWO.encode_blob(cells)) == dict(zip(TWO.features, cells, strict=True))


def test_a_blob_may_lack_features_and_have_ones_that_the_view_has_no_more() -> None:
    other = ViewLayout("view", [("items", ColumnType.STRINGS), ("gone", ColumnType.INT)])
    assert TWO.decode_blob(other.encode_blob([["a"], 1])) == {"count": None, "items": ["a"]}


@pytest.mark.parametrize("cut", [1, 4, 7, 9])
def test_a_blob_that_is_cut_off_is_refused_with_the_name_of_its_view(cut: int) -> None:
    with pytest.raises(UnreadableValue, match="feature view:"):
        TWO.decode_blob(TWO.encode_blob([3, ["a"]])[:-cut])


@pytest.mark.parametrize("value", [1 << 63, "7", 1.5, [1]])
def test_a_value_of_another_type_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(UnstorableValue, match="feature view:count is declared int") as caught:
        TWO.encode({"count": value, "items": []}, at_ms=1)
    assert caught.value.feature == "count"


@pytest.mark.parametrize("value", [[1], [None], 7])
def test_a_list_of_another_type_is_refused_with_its_name(value: Any) -> None:
    with pytest.raises(UnstorableValue, match="feature view:lists is declared string_lists"):
        ViewLayout("view", [("lists", ColumnType.STRING_LISTS)]).encode({"lists": value}, at_ms=1)


@pytest.mark.parametrize("value", [None, "7", 1.5, 1 << 63])
def test_a_member_of_another_type_is_refused_with_the_name_of_its_column(value: Any) -> None:
    columns = BucketColumns("view", [("items", ColumnType.STRINGS), ("count", ColumnType.INT)])
    with pytest.raises(UnstorableValue, match="feature view:count is declared int") as caught:
        columns.encode_bucket([["a"], value])
    assert caught.value.feature == "count"


def test_cells_that_are_too_few_or_too_many_are_refused() -> None:
    for cells in ([], [1, 2]):
        with pytest.raises(ConsistencyError, match="view view"):
            Columns("view", [("count", ColumnType.INT)]).encode(cells)
        with pytest.raises(ConsistencyError, match="view view"):
            BucketColumns("view", [("count", ColumnType.INT)]).encode_bucket(cells)


def test_a_string_is_told_from_the_ones_before_when_more_came_than_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoding, "MEMBERS_MAX", 2)
    layout = ViewLayout("view", [("items", ColumnType.STRINGS)])
    for items in (["a", "b", "c"], ["c", "a"], ["d", "e", "f", "a"]):
        assert read(layout, stored(layout.encode({"items": items}, at_ms=1))) == {"items": items}


def test_a_row_with_missing_or_unknown_cells_is_refused() -> None:
    with pytest.raises(ConsistencyError, match="items"):
        TWO.encode({"count": 1}, at_ms=1)
    with pytest.raises(ConsistencyError, match="extra"):
        TWO.encode({"count": 1, "items": [], "extra": 1}, at_ms=1)


@pytest.mark.parametrize("raw", [b"\xff", b"\x72", b"\x72\x05\x0a\x09", b"\x29\x00", b"\x12\x01\xff"])
def test_bytes_that_are_no_value_are_reported_with_their_feature(raw: bytes) -> None:
    with pytest.raises(UnreadableValue, match="view:count"):
        read(TWO, {TWO.fields[0]: raw, TWO.fields[-1]: b"\x08\x01"})


def test_a_key_of_another_project_or_entity_is_not_ours() -> None:
    visitors = EntityKeys("firth", "visitor_id")
    assert visitors.value(EntityKeys("firth", "item_id").key("a")) is None
    assert visitors.value(EntityKeys("other", "visitor_id").key("a")) is None
    assert visitors.value(b"epoch") is None
