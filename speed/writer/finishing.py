"""From the newest that a changelog says of a key to what changes in the speed views, as the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from domain.policies import Policies
from domain.rows import STATE_VERSION, OpenRow, open_row, version_of
from feature_repo.layout import EntityKeys
from feature_repo.views import ITEM_TREND, VISITOR_RECENT, VISITOR_SESSION, View
from schemas.errors import ConsistencyError
from speed.tombstones import decode_offsets
from speed.writer.rows import SessionRows, StreamRows, encode_origin

_CURRENT: Final = bytes((STATE_VERSION,))
"""The byte of the version in a row, behind the head of its array."""


class ViewRow(msgspec.Struct, frozen=True, gc=False):
    """One view's row: its hash fields and their values."""

    view: str
    fields: tuple[bytes, ...]
    values: list[bytes]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A key's state is gone that had read up to these offsets; None where the tombstone does not say."""

    through: Mapping[int, int] | None


@dataclass(frozen=True, slots=True)
class ViewRemoval:
    """A view's row goes, with all of these hash fields, unless the store's row is newer than the tombstone."""

    view: str
    fields: tuple[bytes, ...]
    through: Mapping[int, int] | None


class FeatureUpdate(msgspec.Struct, frozen=True):
    """All that changes of one entity: removals first, then rows with the newest offset per partition they include.

    Offsets are in the order of their partitions: what is stored must not depend on the order in which they came.
    """

    key: bytes
    offsets: Mapping[int, int]
    received_at_ms: int
    rows: tuple[ViewRow, ...]
    removals: tuple[ViewRemoval, ...] = ()


class UnreadableRow(ConsistencyError):
    """The changelog holds a row that this program does not understand."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"changelog row: {problem}; run the same release of the speed job and the writer")


def read_row(raw: bytes) -> OpenRow | None:
    """A changelog value; None for one that an earlier release left behind, which a rebuild of the state has replaced.

    Buckets and visits stay encoded: of most of a key's rows in a batch no more than the offsets is looked at.

    Raises:
        UnreadableRow: it is no row, or one of a later release.
    """
    try:
        if raw[1:2] != _CURRENT and version_of(raw) < STATE_VERSION:
            return None
        row = open_row(raw)
    except msgspec.MsgspecError as error:
        raise UnreadableRow(str(error)) from error
    if row.version != STATE_VERSION:
        raise UnreadableRow(f"has version {row.version}, not {STATE_VERSION}")
    return row


def read_tombstone(header: bytes | None) -> Tombstone:
    """A tombstone with this header; one without removes the row whatever it includes.

    Raises:
        UnreadableRow: the header is none of ours.
    """
    if header is None:
        return Tombstone(None)
    try:
        return Tombstone(decode_offsets(header))
    except msgspec.MsgspecError as error:
        raise UnreadableRow(f"tombstone: {error}") from error


def covers(newer: Mapping[int, int], older: Mapping[int, int]) -> bool:
    """Whether a row with the offsets `newer` includes every record that one with `older` includes."""
    return all(newer.get(partition, -1) >= offset for partition, offset in older.items())


def ordered(offsets: Mapping[int, int]) -> dict[int, int]:
    """The same offsets by partition."""
    return dict(sorted(offsets.items()) if len(offsets) > 1 else offsets)


class Finisher:
    """Knows the views' layouts, the keys of one Feast project, and the policies."""

    def __init__(self, project: str, policies: Policies) -> None:
        self._visitors = EntityKeys(project, VISITOR_SESSION.join_key)
        self._items = EntityKeys(project, ITEM_TREND.join_key)
        self._recent = StreamRows(VISITOR_RECENT)
        self._session = SessionRows(VISITOR_SESSION, policies)
        self._trend = StreamRows(ITEM_TREND)
        self._fields = {view.name: view.layout().fields for view in (VISITOR_SESSION, VISITOR_RECENT, ITEM_TREND)}

    def visitor(self, visitor_id: str, row: OpenRow | None, tombstone: Tombstone | None = None) -> FeatureUpdate:
        """Session and recent buckets of a visitor; no session where nothing may be personalised.

        Raises UnreadableRow, as does `item`, when a bucket or a visit cannot be read.
        """
        key, removals = self._visitors.key(visitor_id), self._removals(tombstone, VISITOR_RECENT, VISITOR_SESSION)
        if row is None:
            return FeatureUpdate(key, {}, 0, (), removals)
        try:
            origin = encode_origin(row)
            recent = self._recent.encode(row, origin)
            session = self._session.encode(row, origin)
        except msgspec.MsgspecError as error:
            raise UnreadableRow(str(error)) from error
        if session is None:
            rows: tuple[ViewRow, ...] = (ViewRow(VISITOR_RECENT.name, self._recent.fields, recent),)
        else:
            rows = (
                ViewRow(VISITOR_RECENT.name, self._recent.fields, recent),
                ViewRow(VISITOR_SESSION.name, self._session.fields, session),
            )
        return FeatureUpdate(key, ordered(row.offsets), row.received_at_ms, rows, removals)

    def item(self, item_id: str, row: OpenRow | None, tombstone: Tombstone | None = None) -> FeatureUpdate:
        """Recent buckets of an item."""
        key, removals = self._items.key(item_id), self._removals(tombstone, ITEM_TREND)
        if row is None:
            return FeatureUpdate(key, {}, 0, (), removals)
        try:
            trend = ViewRow(ITEM_TREND.name, self._trend.fields, self._trend.encode(row, encode_origin(row)))
        except msgspec.MsgspecError as error:
            raise UnreadableRow(str(error)) from error
        return FeatureUpdate(key, ordered(row.offsets), row.received_at_ms, (trend,), removals)

    def _removals(self, tombstone: Tombstone | None, *owned: View) -> tuple[ViewRemoval, ...]:
        """All fields of the views that the tombstone's topic owns."""
        if tombstone is None:
            return ()
        through = None if tombstone.through is None else ordered(tombstone.through)
        return tuple(ViewRemoval(view.name, self._fields[view.name], through) for view in owned)
