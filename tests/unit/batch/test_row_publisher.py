"""Rows on their way from Arrow to a store: cells as Python says them, and tallies that no order changes."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from batch.arrow_rows import cells_of
from batch.row_publisher import Tally
from feature_repo.offline import arrow_schema
from feature_repo.views import ITEM_PROFILE, VISITOR_HISTORY, View
from tests.rows import history_cells

ROWS = [("a", b"1"), ("b", b"2"), ("c", b"")]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (pa.int64(), [1, None, -(1 << 62)]),
        (pa.int64(), [1, 2, 3]),
        (pa.string(), ["é", None, ""]),
        (pa.list_(pa.int64()), [[], [1, 2], [3]]),
        (pa.list_(pa.int64()), [[1], None, [None, 2]]),
        (pa.list_(pa.list_(pa.string())), [[["a"], []], [], [["b", "c"]]]),
    ],
)
@pytest.mark.parametrize("skipped", [0, 1])
def test_cells_are_those_of_arrow_also_of_a_slice(kind: pa.DataType, cells: list[Any], skipped: int) -> None:
    assert cells_of(pa.array(cells, kind).slice(skipped)) == cells[skipped:]


@pytest.mark.parametrize("view", [VISITOR_HISTORY, ITEM_PROFILE], ids=lambda view: view.name)
def test_a_row_of_every_batch_view_goes_from_arrow_into_a_blob_and_back(view: View) -> None:
    layout, cells = view.layout(), history_cells(view.entity, days=range(3), each=6)
    batch = pa.RecordBatch.from_pylist([{view.join_key: "key", **cells}], schema=arrow_schema(view))
    [blob] = layout.encode_blobs([cells_of(batch.column(name)) for name in layout.features])
    assert layout.decode_blob(blob) == cells


def test_a_tally_is_the_same_in_any_order_and_however_it_is_cut() -> None:
    assert Tally.of(ROWS) == Tally.of(ROWS[::-1]) == Tally.of(ROWS[:1]) + Tally.of(ROWS[1:])
    assert Tally.of([]) == Tally()


@pytest.mark.parametrize("other", [ROWS[:2], [*ROWS, ROWS[0]], [*ROWS[:2], ("c", b"?")], [*ROWS[:2], ("?", b"")]])
def test_a_row_that_is_lost_doubled_or_changed_shows(other: list[tuple[str, bytes]]) -> None:
    assert Tally.of(other) != Tally.of(ROWS)
