"""From the newest that a changelog says of a key to what changes in the speed views, as the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from domain.merge import session_cells, stream_cells
from domain.policies import Policies
from domain.rows import STATE_VERSION, Row, decode_row
from feature_repo.layout import EntityKeys
from feature_repo.views import ITEM_TREND, VISITOR_RECENT, VISITOR_SESSION, View
from schemas.errors import ConsistencyError
from speed.tombstones import decode_offsets


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One view's row: hash fields and their values in turn."""

    view: str
    fields: list[bytes]


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


@dataclass(frozen=True, slots=True)
class FeatureUpdate:
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


def read_row(raw: bytes) -> Row:
    """A changelog value. Raises UnreadableRow when it is none, or of another version."""
    try:
        row = decode_row(raw)
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
    return dict(sorted(offsets.items()))


def to_update(key: bytes, row: Row | None, rows: list[ViewRow], removals: tuple[ViewRemoval, ...]) -> FeatureUpdate:
    """What changes of an entity, with the offsets of the row that it comes from."""
    if row is None:
        return FeatureUpdate(key, {}, 0, (), removals)
    return FeatureUpdate(key, ordered(row.offsets), row.received_at_ms, tuple(rows), removals)


class Finisher:
    """Knows the views' layouts, the keys of one Feast project, and the policies."""

    def __init__(self, project: str, policies: Policies) -> None:
        self._policies = policies
        self._visitors = EntityKeys(project, VISITOR_SESSION.join_key)
        self._items = EntityKeys(project, ITEM_TREND.join_key)
        self._layouts = {view.name: view.layout() for view in (VISITOR_SESSION, VISITOR_RECENT, ITEM_TREND)}

    def visitor(self, visitor_id: str, row: Row | None, tombstone: Tombstone | None = None) -> FeatureUpdate:
        """Session and recent buckets of a visitor; no session where nothing may be personalised."""
        rows = []
        if row is not None:
            rows.append(self._row(VISITOR_RECENT, stream_cells("visitor", row), row))
            session = session_cells(row, self._policies)
            if session is not None:
                rows.append(self._row(VISITOR_SESSION, session, row))
        removals = self._removals(tombstone, VISITOR_RECENT, VISITOR_SESSION)
        return to_update(self._visitors.key(visitor_id), row, rows, removals)

    def item(self, item_id: str, row: Row | None, tombstone: Tombstone | None = None) -> FeatureUpdate:
        """Recent buckets of an item."""
        rows = [] if row is None else [self._row(ITEM_TREND, stream_cells("item", row), row)]
        return to_update(self._items.key(item_id), row, rows, self._removals(tombstone, ITEM_TREND))

    def _row(self, view: View, cells: Mapping[str, Any], row: Row) -> ViewRow:
        return ViewRow(view.name, self._layouts[view.name].encode(cells, row.received_at_ms))

    def _removals(self, tombstone: Tombstone | None, *owned: View) -> tuple[ViewRemoval, ...]:
        """All fields of the views that the tombstone's topic owns."""
        if tombstone is None:
            return ()
        through = None if tombstone.through is None else ordered(tombstone.through)
        return tuple(ViewRemoval(view.name, self._layouts[view.name].fields, through) for view in owned)
