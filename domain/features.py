"""The feature catalogue: every feature once. Views, stream states, the Spark plan, docs and parity derive from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from domain import sessions
from domain.aggregates import Aggregate, ColumnType, DecayedSum, Histogram, LastN, Sum
from domain.policies import DAY_MS
from domain.sessions import SessionValue

Entity = Literal["visitor", "item"]

JOIN_KEYS: Final[dict[Entity, str]] = {"visitor": "visitor_id", "item": "item_id"}


@dataclass(frozen=True, slots=True)
class Feature:
    """A quantity that batch and stream both keep: merged when read.

    Its states live in the stream view under `recent_…`, its totals in the batch view under `history_…`, and its
    finished values in the merged view under its own name.
    """

    name: str
    entity: Entity
    aggregate: Aggregate
    description: str
    unit: str
    owner: str = "platform"

    def state_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the stream view: one cell per bucket."""
        return [(f"recent_{c.name(self.name)}", c.type.per_bucket) for c in self.aggregate.state_columns]

    def total_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the batch view."""
        return [(f"history_{c.name(self.name)}", c.type) for c in self.aggregate.total_columns]

    def value_columns(self) -> list[tuple[str, ColumnType]]:
        """Columns of the merged view."""
        return [(c.name(self.name), c.type) for c in self.aggregate.value_columns]


@dataclass(frozen=True, slots=True)
class SessionFeature:
    """A quantity of the current session: only the stream knows it."""

    name: str
    values: tuple[SessionValue, ...]
    description: str
    unit: str
    owner: str = "platform"


AGGREGATED: Final = (
    Feature(
        "interactions",
        "visitor",
        Sum(),
        "How often the visitor acted, over all time.",
        "interactions",
    ),
    Feature(
        "kinds",
        "visitor",
        Histogram("kind"),
        "How often the visitor acted, by kind of interaction.",
        "interactions",
    ),
    Feature(
        "categories",
        "visitor",
        Histogram("category", DecayedSum(7 * DAY_MS), top=10),
        "What the visitor likes now: interactions by category (at most 64), halved every 7 days, the ten strongest.",
        "decayed interactions",
    ),
    Feature(
        "hours",
        "visitor",
        Histogram("local_hour"),
        "When the visitor is here: interactions by hour of the visitor's day, 00 to 23.",
        "interactions",
    ),
    Feature(
        "spend",
        "visitor",
        Sum("value_micros", kinds=("purchase",)),
        "The sum of the values of the visitor's purchases.",
        "micros of the shop's currency",
    ),
    Feature(
        "last_items",
        "visitor",
        LastN(20),
        "The visitor's 20 newest interactions over all sessions, oldest first.",
        "items",
    ),
    Feature(
        "counts",
        "item",
        Histogram("kind"),
        "How often visitors acted on the item, by kind of interaction.",
        "interactions",
    ),
    Feature(
        "popularity",
        "item",
        DecayedSum(7 * DAY_MS),
        "How often visitors acted on the item, halved every 7 days.",
        "decayed interactions",
    ),
    Feature(
        "popularity_by_kind",
        "item",
        Histogram("kind", DecayedSum(1 * DAY_MS)),
        "What is happening to the item now: interactions by kind, halved every day.",
        "decayed interactions",
    ),
)

SESSION: Final = (
    SessionFeature(
        "session_items", sessions.SESSION_ITEMS, "The newest 20 visits of the session, oldest first.", "items"
    ),
    SessionFeature("session_length", sessions.SESSION_LENGTH, "Visits and distinct items in the session.", "visits"),
    SessionFeature(
        "session_time", sessions.SESSION_TIME, "Start, newest visit and mean time between visits.", "milliseconds"
    ),
    SessionFeature("session_kinds", sessions.SESSION_KINDS, "Visits of the session by kind.", "visits"),
    SessionFeature(
        "session_categories", sessions.SESSION_CATEGORIES, "The session's five most visited categories.", "visits"
    ),
    SessionFeature(
        "session_cart", sessions.SESSION_CART, "Put into the cart in this session, not yet bought.", "items"
    ),
    SessionFeature(
        "session_declared", sessions.SESSION_DECLARED, "The session id that the producer declared, or empty.", "id"
    ),
)

PROVENANCE_COLUMNS: Final = (
    ("received_at_ms", ColumnType.INT),
    ("offset_partitions", ColumnType.INTS),
    ("offsets", ColumnType.INTS),
)
"""What every row of the stream says of its origin: newest Kafka timestamp, and the newest offset per partition."""


def features_of(entity: Entity) -> Iterator[Feature]:
    """The aggregated features of one entity, in catalogue order."""
    return (feature for feature in AGGREGATED if feature.entity == entity)


def batch_view_columns(entity: Entity) -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_history` or `item_profile`: the cutoff that the row covers, then the totals."""
    totals = [column for feature in features_of(entity) for column in feature.total_columns()]
    return [("cutoff_ms", ColumnType.INT), *totals]


def stream_view_columns(entity: Entity) -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_recent` or `item_trend`: bucket starts, the states aligned with them, and their origin."""
    states = [column for feature in features_of(entity) for column in feature.state_columns()]
    prefixed = [(f"recent_{name}", kind) for name, kind in PROVENANCE_COLUMNS]
    head = [("recent_buckets_ms", ColumnType.INTS), ("recent_dropped_through_ms", ColumnType.INT)]
    return [*head, *states, *prefixed]


def merged_view_columns(entity: Entity) -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_profile` or `item_stats`: when it holds, what covers it, then the finished values."""
    values = [column for feature in features_of(entity) for column in feature.value_columns()]
    head = [("as_of_ms", ColumnType.INT), ("covered_to_ms", ColumnType.INT), ("history_gap", ColumnType.INT)]
    return [*head, *values]


def session_view_columns() -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_session`, with the origin of the row."""
    values = [(value.name, value.type) for feature in SESSION for value in feature.values]
    return [*values, *((f"session_{name}", kind) for name, kind in PROVENANCE_COLUMNS)]


def column_names(columns: Sequence[tuple[str, ColumnType]]) -> list[str]:
    """The names alone."""
    return [name for name, _ in columns]
