"""The merged views as Feast asks for them: columns of entities in, columns out. The rule is `domain.merge`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.aggregates import ColumnType
from domain.context import CONTEXT, CONTEXT_INPUTS, context_cells
from domain.merge import merge_cells
from feature_repo.views import Columns, MergedView

_NESTED = (ColumnType.INT_LISTS, ColumnType.STRING_LISTS)


def merge_columns(view: MergedView, columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The finished features of every entity, by column.

    Args:
        columns: feature of `view.history` or `view.recent` to one value an entity, None where the store has none.
    """
    rows = len(next(iter(columns.values()), ()))
    merged: dict[str, list[Any]] = {name: [] for name, _ in view.columns}
    for index in range(rows):
        history = _cells(view.history.columns, columns, index)
        recent = _cells(view.recent.columns, columns, index)
        for name, value in merge_cells(view.entity, history, recent).items():
            merged[name].append(value)
    return merged


def context_columns(columns: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The features of the moment of every request, by column."""
    requests = zip(*(columns[name] for name, _ in CONTEXT_INPUTS), strict=True)
    cells = [context_cells(asked_at_ms, offset or 0, device) for asked_at_ms, offset, device in requests]
    return {feature.name: [cell[feature.name] for cell in cells] for feature in CONTEXT}


def _cells(wanted: Columns, columns: Mapping[str, Sequence[Any]], index: int) -> dict[str, Any]:
    return {name: _restored(columns[name][index], column_type) for name, column_type in wanted}


def _restored(value: Any, column_type: ColumnType) -> Any:
    """Feast stores an empty inner list without a type and reads it back as None."""
    if column_type in _NESTED and value is not None:
        return [[] if member is None else member for member in value]
    return value
