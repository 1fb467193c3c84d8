"""The merged views over columns, as Feast hands them in."""

from __future__ import annotations

from typing import Any

from domain.merge import merge_cells
from feature_repo.merging import merge_columns
from feature_repo.views import ITEM_STATS, MergedView
from tests.rows import history_cells, item_row, recent_cells


def columns_of(view: MergedView, *rows: dict[str, Any]) -> dict[str, list[Any]]:
    names = [name for name, _ in (*view.history.columns, *view.recent.columns)]
    return {name: [row.get(name) for row in rows] for name in names}


def test_every_entity_is_merged_by_the_rule_of_the_domain() -> None:
    history, recent = history_cells("item", days=(0, 1)), recent_cells("item", item_row(days=(1, 2, 3)))
    merged = merge_columns(ITEM_STATS, columns_of(ITEM_STATS, history, recent, history | recent))
    expected = [
        merge_cells("item", history, None),
        merge_cells("item", None, recent),
        merge_cells("item", history, recent),
    ]
    assert merged == {name: [cells[name] for cells in expected] for name, _ in ITEM_STATS.columns}


def test_an_entity_that_no_store_knows_merges_to_nothing() -> None:
    merged = merge_columns(ITEM_STATS, columns_of(ITEM_STATS, {}))
    assert merged == {name: [value] for name, value in merge_cells("item", None, None).items()}


def test_an_empty_inner_list_that_feast_reads_as_none_is_empty_again() -> None:
    recent = recent_cells("item", item_row(days=(1, 2)))
    as_feast_reads = {name: _emptied(value) for name, value in recent.items()}
    assert merge_columns(ITEM_STATS, columns_of(ITEM_STATS, as_feast_reads)) == merge_columns(
        ITEM_STATS, columns_of(ITEM_STATS, recent)
    )


def test_no_entities_are_no_rows() -> None:
    assert merge_columns(ITEM_STATS, columns_of(ITEM_STATS)) == {name: [] for name, _ in ITEM_STATS.columns}


def _emptied(value: Any) -> Any:
    if isinstance(value, list):
        return [None if member == [] else member for member in value]
    return value
