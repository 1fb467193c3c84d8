"""A changelog row to the hash fields and values of one view. What the cells are is said by `domain.merge` alone."""

from __future__ import annotations

from typing import Final

from domain.features import PROVENANCE_COLUMNS, session_view_columns
from domain.merge import bucket_cells, bucket_columns, origin_values, session_values
from domain.policies import Policies
from domain.rows import OpenRow, decode_bucket, decode_visits
from feature_repo.layout import Bucket, BucketColumns, Columns, encode_timestamp_ms
from feature_repo.layout.encoding import encode_int, encode_ints
from feature_repo.layout.keys import field_key, timestamp_field
from feature_repo.views import View
from schemas.errors import ConsistencyError

BUCKETS_KEPT: Final = 1 << 14
"""Encoded buckets that are remembered: some 2 KB each."""


class StreamRows:
    """`visitor_recent` or `item_trend`. A bucket that is over is the same in row after row: it is encoded once."""

    def __init__(self, view: View) -> None:
        self._entity = view.entity
        self._columns = BucketColumns(view.name, bucket_columns(view.entity))
        self.fields = (
            *self._columns.fields,
            field_key(view.name, "recent_dropped_through_ms"),
            *_origin_fields(view.name, "recent"),
        )
        self._over: dict[bytes, Bucket] = {}
        _check_complete(view, self.fields)

    def encode(self, row: OpenRow, origin: list[bytes]) -> list[bytes]:
        """The values of `fields`."""
        values = self._columns.encode(self._encoded(row))
        values.append(encode_int(row.dropped_through_ms))
        values += origin
        return values

    def _encoded(self, row: OpenRow) -> list[Bucket]:
        if not row.buckets:
            return []
        *over, newest = row.buckets
        encoded = [self._remembered(raw) for raw in over]
        encoded.append(self._encode(newest))
        return encoded

    def _remembered(self, raw: bytes) -> Bucket:
        bucket = self._over.get(raw)
        if bucket is None:
            bucket = self._encode(raw)
            if len(self._over) >= BUCKETS_KEPT:
                self._over.clear()
            self._over[raw] = bucket
        return bucket

    def _encode(self, raw: bytes) -> Bucket:
        return self._columns.encode_bucket(bucket_cells(self._entity, decode_bucket(raw)))


class SessionRows:
    """`visitor_session`."""

    def __init__(self, view: View, policies: Policies) -> None:
        self._policies = policies
        self._columns = Columns(view.name, session_view_columns()[: -len(PROVENANCE_COLUMNS)])
        self.fields = (*self._columns.fields, *_origin_fields(view.name, "session"))
        _check_complete(view, self.fields)

    def encode(self, row: OpenRow, origin: list[bytes]) -> list[bytes] | None:
        """The values of `fields`; None when the visitor has no visits."""
        values = session_values(decode_visits(row.visits), self._policies)
        return None if values is None else self._columns.encode(values) + origin


def encode_origin(row: OpenRow) -> list[bytes]:
    """The values of `_origin_fields`: the same in each view that follows from the row."""
    received_at_ms, partitions, offsets = origin_values(row)
    encoded = [encode_int(received_at_ms), encode_ints(partitions), encode_ints(offsets)]
    return [*encoded, encode_timestamp_ms(received_at_ms)]


def _origin_fields(view: str, prefix: str) -> list[bytes]:
    return [*(field_key(view, f"{prefix}_{name}") for name, _ in PROVENANCE_COLUMNS), timestamp_field(view)]


def _check_complete(view: View, fields: tuple[bytes, ...]) -> None:
    """The view's layout has these fields and no others."""
    if sorted(fields) != sorted(view.layout().fields):
        raise ConsistencyError(f"view {view.name} has other columns than the writer encodes")
