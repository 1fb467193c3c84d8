"""From a changelog row to the rows of the speed views, as the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from domain.merge import session_cells, stream_cells
from domain.policies import Policies
from domain.states import STATE_VERSION, Row, decode_row
from feature_repo.layout import EntityKeys
from feature_repo.views import ITEM_TREND, VISITOR_RECENT, VISITOR_SESSION, View
from schemas.errors import ConsistencyError


@dataclass(frozen=True, slots=True)
class ViewRow:
    """One view's row: hash fields and their values in turn."""

    view: str
    fields: list[bytes]


@dataclass(frozen=True, slots=True)
class FeatureUpdate:
    """All that one changelog row says of one entity, and the newest offset per partition that it includes."""

    key: bytes
    offsets: Mapping[int, int]
    received_at_ms: int
    rows: tuple[ViewRow, ...]


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


def covers(newer: Mapping[int, int], older: Mapping[int, int]) -> bool:
    """Whether a row with the offsets `newer` includes every record that one with `older` includes."""
    return all(newer.get(partition, -1) >= offset for partition, offset in older.items())


class Finisher:
    """Knows the views' layouts, the keys of one Feast project, and the policies."""

    def __init__(self, project: str, policies: Policies) -> None:
        self._policies = policies
        self._visitors = EntityKeys(project, VISITOR_SESSION.join_key)
        self._items = EntityKeys(project, ITEM_TREND.join_key)
        self._layouts = {view.name: view.layout() for view in (VISITOR_SESSION, VISITOR_RECENT, ITEM_TREND)}

    def visitor(self, visitor_id: str, row: Row) -> FeatureUpdate:
        """Session and recent buckets of a visitor; no session where nothing may be personalised."""
        rows = [self._row(VISITOR_RECENT, stream_cells("visitor", row), row)]
        session = session_cells(row, self._policies)
        if session is not None:
            rows.append(self._row(VISITOR_SESSION, session, row))
        return FeatureUpdate(self._visitors.key(visitor_id), row.offsets, row.received_at_ms, tuple(rows))

    def item(self, item_id: str, row: Row) -> FeatureUpdate:
        """Recent buckets of an item."""
        rows = (self._row(ITEM_TREND, stream_cells("item", row), row),)
        return FeatureUpdate(self._items.key(item_id), row.offsets, row.received_at_ms, rows)

    def _row(self, view: View, cells: Mapping[str, Any], row: Row) -> ViewRow:
        return ViewRow(view.name, self._layouts[view.name].encode(cells, row.received_at_ms))
