"""Cells of several columns of a view to the bytes of their values: one cell a column, or one member for each bucket."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

from domain.aggregates import ColumnType
from feature_repo.layout.encoding import Encoder, bucket_column_of, encoder_of
from feature_repo.layout.keys import field_key
from schemas.errors import ConsistencyError

Named = Sequence[tuple[str, ColumnType]]
Bucket = tuple[bytes, ...]
"""The encoded members of one bucket, one a column. A tuple of bytes is nothing that the garbage collector walks."""

_REFUSALS: Final = (TypeError, ValueError, AttributeError, LookupError, OverflowError, struct.error)


class UnstorableValue(ConsistencyError):
    """A layer produced a value that its feature's declared type cannot hold."""

    def __init__(self, view: str, feature: str, column_type: ColumnType, value: object) -> None:
        self.view = view
        self.feature = feature
        self.column_type = column_type
        super().__init__(
            f"feature {view}:{feature} is declared {column_type} but its value is {value!r:.200}; "
            "make the catalogue's type and the layer that computes it agree"
        )


class Columns:
    """Columns of one view, in an order of their own. `fields` are their hash fields, `encode` gives their values."""

    __slots__ = ("_columns", "_encoders", "_view", "fields")

    def __init__(self, view: str, columns: Named) -> None:
        self._view = view
        self._columns = tuple(columns)
        self._encoders = tuple(encoder_of(column_type) for _, column_type in columns)
        self.fields = tuple(field_key(view, feature) for feature, _ in columns)

    def encode(self, cells: Sequence[Any]) -> list[bytes]:
        """One value a column; None becomes a null."""
        try:
            return [b"" if cell is None else encode(cell) for encode, cell in zip(self._encoders, cells, strict=True)]
        except _REFUSALS as error:
            culprits = zip(self._columns, self._encoders, cells, strict=False)
            raise _unstorable(self._view, (one for one in culprits if one[2] is not None), error) from error

    def encode_columns(self, columns: Sequence[Sequence[Any]]) -> list[list[bytes]]:
        """The values of many rows, column by column: what `encode` gives, for less."""
        try:
            return [
                [b"" if cell is None else encode(cell) for cell in cells]
                for encode, cells in zip(self._encoders, columns, strict=True)
            ]
        except _REFUSALS as error:
            culprits = (
                (name, encode, cell)
                for name, encode, cells in zip(self._columns, self._encoders, columns, strict=False)
                for cell in cells
                if cell is not None
            )
            raise _unstorable(self._view, culprits, error) from error


class BucketColumns:
    """Columns whose cells are lists with a member for each bucket; their types here are those of a member.

    A bucket is encoded by itself, because one that is over never changes: a row joins what its buckets were encoded to.
    """

    __slots__ = ("_columns", "_empty", "_encoders", "_heads", "_view", "fields")

    def __init__(self, view: str, columns: Named) -> None:
        self._view = view
        self._columns = tuple(columns)
        found = [bucket_column_of(column_type) for _, column_type in columns]
        self._encoders = tuple(column.encode_member for column in found)
        self._heads = tuple(column.heads for column in found)
        self._empty = [encoder_of(column_type.per_bucket)([]) for _, column_type in columns]
        self.fields = tuple(field_key(view, feature) for feature, _ in columns)

    def encode_bucket(self, cells: Sequence[Any]) -> Bucket:
        """The members of one bucket."""
        try:
            return tuple([encode(cell) for encode, cell in zip(self._encoders, cells, strict=True)])
        except _REFUSALS as error:
            raise _unstorable(self._view, zip(self._columns, self._encoders, cells, strict=False), error) from error

    def encode(self, buckets: Sequence[Bucket]) -> list[bytes]:
        """One value a column, for a row of these buckets."""
        if not buckets:
            return self._empty.copy()
        bodies = buckets[0] if len(buckets) == 1 else map(b"".join, zip(*buckets, strict=True))
        return [heads[len(body)] + body for heads, body in zip(self._heads, bodies, strict=True)]


def _unstorable(
    view: str, culprits: Iterable[tuple[tuple[str, ColumnType], Encoder, Any]], error: Exception
) -> ConsistencyError:
    """Which of the cells it is that its encoder refuses; else there are too few or too many."""
    for (feature, column_type), encode, cell in culprits:
        try:
            encode(cell)
        except _REFUSALS:
            return UnstorableValue(view, feature, column_type, cell)
    return ConsistencyError(f"view {view}: {error}")
