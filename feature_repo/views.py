"""The views that hold rows: who writes each, where it is kept and its columns; and those that are merged when read.

The columns come from the catalogue, so the feature writer, the batch layer, the server and Feast's registry agree by
construction. Nothing here needs Feast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from domain.aggregates import ColumnType
from domain.features import (
    JOIN_KEYS,
    Entity,
    batch_view_columns,
    merged_view_columns,
    session_view_columns,
    stream_view_columns,
)
from feature_repo.layout import ViewLayout

Owner = Literal["speed", "batch"]
Store = Literal["redis", "cassandra"]
Columns = tuple[tuple[str, ColumnType], ...]


@dataclass(frozen=True, slots=True)
class View:
    """A stored view. Only its owner writes it: batch and speed never write the same one."""

    name: str
    entity: Entity
    owner: Owner
    store: Store
    columns: Columns
    description: str

    @property
    def join_key(self) -> str:
        """The column that names the entity."""
        return JOIN_KEYS[self.entity]

    def layout(self) -> ViewLayout:
        """How its rows lie in the store."""
        return ViewLayout(self.name, self.columns)


@dataclass(frozen=True, slots=True)
class MergedView:
    """A view computed when it is read: a batch row, plus what the stream knows beyond that row's cutoff."""

    name: str
    entity: Entity
    history: View
    recent: View
    columns: Columns
    description: str


VISITOR_SESSION: Final = View(
    "visitor_session",
    "visitor",
    "speed",
    "redis",
    tuple(session_view_columns()),
    "The visitor's current session, finished by the feature writer within milliseconds of a click.",
)
VISITOR_RECENT: Final = View(
    "visitor_recent",
    "visitor",
    "speed",
    "redis",
    tuple(stream_view_columns("visitor")),
    "The visitor's newest buckets as mergeable states; read visitor_profile for finished values.",
)
VISITOR_HISTORY: Final = View(
    "visitor_history",
    "visitor",
    "batch",
    "cassandra",
    tuple(batch_view_columns("visitor")),
    "The visitor's totals up to the cutoff of the daily batch; read visitor_profile for finished values.",
)
ITEM_TREND: Final = View(
    "item_trend",
    "item",
    "speed",
    "redis",
    tuple(stream_view_columns("item")),
    "The item's newest buckets as mergeable states; read item_stats for finished values.",
)
ITEM_PROFILE: Final = View(
    "item_profile",
    "item",
    "batch",
    "cassandra",
    tuple(batch_view_columns("item")),
    "The item's totals up to the cutoff of the daily batch; read item_stats for finished values.",
)
STORED_VIEWS: Final = (VISITOR_SESSION, VISITOR_RECENT, VISITOR_HISTORY, ITEM_TREND, ITEM_PROFILE)

VISITOR_PROFILE: Final = MergedView(
    "visitor_profile",
    "visitor",
    VISITOR_HISTORY,
    VISITOR_RECENT,
    tuple(merged_view_columns("visitor")),
    "All that is known of the visitor: visitor_history and, beyond its cutoff, visitor_recent.",
)
ITEM_STATS: Final = MergedView(
    "item_stats",
    "item",
    ITEM_PROFILE,
    ITEM_TREND,
    tuple(merged_view_columns("item")),
    "All that is known of the item: item_profile and, beyond its cutoff, item_trend.",
)
MERGED_VIEWS: Final = (VISITOR_PROFILE, ITEM_STATS)

REQUEST_CONTEXT: Final = "request_context"
"""The on-demand view of the moment: its inputs come with the request, its columns are `domain.context.CONTEXT`."""
