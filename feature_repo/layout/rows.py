"""A whole row of a view: what the feature writer puts into an entity's hash and what the reader takes out."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError

from domain.aggregates import ColumnType
from feature_repo.layout.cells import pack_columns, unpack_cells
from feature_repo.layout.columns import Columns
from feature_repo.layout.decoding import decode_timestamp_ms, decode_value
from feature_repo.layout.encoding import encode_timestamp_ms
from feature_repo.layout.keys import field_key, timestamp_field
from schemas.errors import ConsistencyError

_UNREADABLE: Final = (KeyError, IndexError, ValueError, struct.error, DecodeError)


class UnreadableValue(ConsistencyError):
    """The store holds bytes that are no value of ours."""

    def __init__(self, view: str, feature: str, raw: bytes) -> None:
        self.view = view
        self.feature = feature
        self.raw = raw
        super().__init__(
            f"feature {view}:{feature} cannot be read from the store, its bytes begin with {raw[:16].hex()}; "
            "another program or another Feast version wrote it: delete the row and let its layer write it again"
        )


class ViewLayout:
    """The hash fields of one view, in the order of its features, with the event time last.

    `fields` is what to ask for (HMGET), `encode` what to store (HSET), and `decode` reads the answer to `fields`.
    """

    __slots__ = ("_columns", "features", "fields", "types", "view")

    def __init__(self, view: str, columns: Iterable[tuple[str, ColumnType]]) -> None:
        self.view = view
        self.types = dict(columns)
        self.features = tuple(self.types)
        self.fields = (*(field_key(view, feature) for feature in self.features), timestamp_field(view))
        self._columns = Columns(view, tuple(self.types.items()))

    def encode(self, cells: Mapping[str, Any], at_ms: int) -> list[bytes]:
        """Field and value in turn, for HSET, the event time last. None becomes a null; unknown cells are an error."""
        if cells.keys() != self.types.keys():
            raise ConsistencyError(f"view {self.view}: missing or unknown cells {cells.keys() ^ self.types.keys()}")
        values = self._columns.encode([cells[feature] for feature in self.features])
        flat = [b""] * (2 * len(self.fields))
        flat[::2], flat[1::2] = self.fields, [*values, encode_timestamp_ms(at_ms)]
        return flat

    def decode(self, raws: Sequence[bytes | None]) -> dict[str, Any] | None:
        """Feature to value from the answer to `fields`, or None when the store has no such row."""
        if not raws[-1]:
            return None
        return {feature: self._read(feature, raw) for feature, raw in zip(self.features, raws, strict=False)}

    def event_at_ms(self, raws: Sequence[bytes | None]) -> int | None:
        """The event time of the row that `decode` reads."""
        return decode_timestamp_ms(raws[-1]) if raws[-1] else None

    def encode_blobs(self, columns: Sequence[Sequence[Any]]) -> list[bytes]:
        """Rows as one blob each, from the cells of each feature, in the order of the features. None becomes a null."""
        return pack_columns(self._columns.fields, self._columns.encode_columns(columns))

    def encode_blob(self, cells: Sequence[Any]) -> bytes:
        """One row as a blob."""
        [blob] = self.encode_blobs([[cell] for cell in cells])
        return blob

    def decode_blob(self, blob: bytes) -> dict[str, Any]:
        """Feature to value from a blob.

        Cells of features that the view no longer has are passed over; features without a cell are None.
        """
        try:
            found = dict(unpack_cells(blob))
        except (struct.error, ValueError) as error:
            raise UnreadableValue(self.view, "*", blob) from error
        names = zip(self.features, self._columns.fields, strict=True)
        return {feature: self._read(feature, found.get(field)) for feature, field in names}

    def _read(self, feature: str, raw: bytes | None) -> Any:
        try:
            return decode_value(raw)
        except _UNREADABLE as error:
            raise UnreadableValue(self.view, feature, raw or b"") from error
