"""The feature catalogue: every feature once. Views, stream states, the Spark plan, docs and parity derive from it."""

from __future__ import annotations

from functools import cache
from typing import Final

from domain import sessions
from domain.aggregates import (
    Aggregate,
    BucketRate,
    ColumnType,
    DecayedSum,
    Histogram,
    KMinValues,
    LastN,
    MinMax,
    Sum,
    Windowed,
)
from domain.derived import DERIVED, Derived
from domain.feature_kinds import JOIN_KEYS, BatchFeature, Entity, Feature, SessionFeature, column_names
from domain.policies import DAY_MS, HOUR_MS

__all__ = ["JOIN_KEYS", "BatchFeature", "Entity", "Feature", "SessionFeature", "column_names"]

WELCOME: Final = ("view", "click", "play", "cart", "purchase", "rating", "like")
"""All kinds but those that turn an item down."""

PLAY: Final = ("play",)
RATING: Final = ("rating",)
COUNTED_WINDOWS_MS: Final = (1 * DAY_MS, 7 * DAY_MS, 28 * DAY_MS)

VISITOR: Final = (
    Feature("interactions", "visitor", Sum(), "How often the visitor acted, over all time.", "interactions"),
    Feature(
        "kinds",
        "visitor",
        Windowed(Histogram("kind"), COUNTED_WINDOWS_MS),
        "How often the visitor acted, by kind of interaction: over all time, and within 1, 7 and 28 days.",
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
        "watch_pattern",
        "visitor",
        Histogram("local_weekday_hour", Sum("watched_ms", PLAY), keys_max=7 * 24),
        "When the visitor watches: watched time by weekday (0 is Monday) and hour of the visitor's day, as in 6-21.",
        "milliseconds",
    ),
    Feature(
        "binge_probability",
        "visitor",
        BucketRate(Sum("one", PLAY), at_least=3, prior_rate=0.2, prior_weight=5),
        "The probability that a day with a play has three or more, which is what surveys call a binge; prior 0.2, "
        "worth five days.",
        "probability",
    ),
    Feature(
        "spend",
        "visitor",
        Sum("paid_micros", kinds=("purchase",)),
        "The sum of the values of the visitor's purchases; a negative one counts as 0.",
        "micros of the shop's currency",
    ),
    Feature("ratings", "visitor", Sum("one", RATING), "How often the visitor rated.", "ratings"),
    Feature("rating_sum", "visitor", Sum("rating_micros", RATING), "The sum of the visitor's ratings.", "micros"),
    Feature(
        "activity",
        "visitor",
        MinMax("occurred_at_ms"),
        "When the visitor first and last acted.",
        "UTC epoch milliseconds",
    ),
    Feature(
        "distinct_items",
        "visitor",
        KMinValues("item_id", k=32),
        "How many different items the visitor acted on: exact below 32, beyond with a standard error of 18 %.",
        "items",
    ),
    Feature(
        "recent_watches",
        "visitor",
        LastN(10, PLAY),
        "The ten items that the visitor played last, oldest first.",
        "items",
    ),
    Feature(
        "seen_items",
        "visitor",
        LastN(50),
        "The 50 items that the visitor acted on last, over all sessions, oldest first, each by its newest act.",
        "items",
    ),
)

ITEM: Final = (
    Feature(
        "counts",
        "item",
        Windowed(Histogram("kind"), COUNTED_WINDOWS_MS),
        "How often visitors acted on the item, by kind: over all time, and within 1, 7 and 28 days.",
        "interactions",
    ),
    Feature(
        "popularity",
        "item",
        DecayedSum(7 * DAY_MS, WELCOME),
        "How often visitors acted on the item, halved every 7 days; dislikes and hides do not count.",
        "decayed interactions",
    ),
    Feature(
        "popularity_now",
        "item",
        DecayedSum(3 * HOUR_MS, WELCOME),
        "The same, halved every 3 hours.",
        "decayed interactions",
    ),
    Feature(
        "popularity_by_kind",
        "item",
        Histogram("kind", DecayedSum(1 * DAY_MS)),
        "What is happening to the item now: interactions by kind, halved every day.",
        "decayed interactions",
    ),
    Feature(
        "reach",
        "item",
        KMinValues("visitor_id", k=64),
        "How many visitors acted on the item: exact below 64, beyond with a standard error of 13 %.",
        "visitors",
    ),
    Feature("lifetime", "item", MinMax("occurred_at_ms"), "The first and last act on the item.", "epoch milliseconds"),
    Feature("plays", "item", Sum("one", PLAY), "How often the item was played.", "plays"),
    Feature("watched", "item", Sum("watched_ms", PLAY), "For how long the item was watched.", "milliseconds"),
    Feature("votes", "item", Sum("audience_vote", RATING), "Ratings by the audience.", "ratings"),
    Feature("votes_sum", "item", Sum("audience_rating_micros", RATING), "The sum of these ratings.", "micros"),
    Feature("votes_positive", "item", Sum("positive_vote", RATING), "Those of at least 3.5.", "ratings"),
    Feature("critic_weight", "item", Sum("critic_milli", RATING), "The weights of the critics who rated.", "1/1000"),
    Feature(
        "critic_sum", "item", Sum("critic_rating", RATING), "The sum of their ratings by weight.", "micros · 1/1000"
    ),
)

AGGREGATED: Final = (*VISITOR, *ITEM)

IMPRESSIONS: Final = BatchFeature(
    "impressions",
    "item",
    ("shown", "clicked", "converted"),
    "In how many slates the item was shown, and of these: clicked by the visitor, put into the cart or bought.",
    "slates",
)
BATCH_ONLY: Final = (IMPRESSIONS,)

GENERATION: Final = max(feature.since for feature in AGGREGATED)
"""The catalogue's generation. A bucket or batch row of an earlier one lacks the features that came later."""

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
        "session_binge",
        sessions.SESSION_BINGE,
        "The probability that the session comes to three plays, by the plays n so far: q^(3 - n) with q = n / (n + 1), "
        "Laplace's estimate that a play is followed by another; 0 before the first.",
        "probability",
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


_OF: Final[dict[Entity, tuple[Feature, ...]]] = {"visitor": VISITOR, "item": ITEM}


def features_of(entity: Entity) -> tuple[Feature, ...]:
    """The aggregated features of one entity, in catalogue order."""
    return _OF[entity]


@cache
def folds_of(entity: Entity, kind: str) -> tuple[tuple[str, Aggregate], ...]:
    """Name and aggregate of the entity's features that a fact of this kind changes."""
    reacting = [one for one in features_of(entity) if not one.aggregate.kinds or kind in one.aggregate.kinds]
    return tuple((feature.name, feature.aggregate) for feature in reacting)


def batch_only_of(entity: Entity) -> list[BatchFeature]:
    """The features of one entity that only the batch layer can tell."""
    return [feature for feature in BATCH_ONLY if feature.entity == entity]


def derived_of(entity: Entity) -> tuple[Derived, ...]:
    """The features of one entity that follow from others."""
    return _DERIVED_OF[entity]


_DERIVED_OF: Final[dict[Entity, tuple[Derived, ...]]] = {
    entity: tuple(feature for feature in DERIVED if feature.entity == entity) for entity in JOIN_KEYS
}


def batch_view_columns(entity: Entity) -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_history` or `item_profile`: the cutoff that the row covers, its generation, the totals."""
    totals = [column for feature in features_of(entity) for column in feature.total_columns()]
    counts = [column for feature in batch_only_of(entity) for column in feature.total_columns()]
    return [("cutoff_ms", ColumnType.INT), ("history_generation", ColumnType.INT), *totals, *counts]


def stream_view_columns(entity: Entity) -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_recent` or `item_trend`: bucket starts, the states aligned with them, and their origin."""
    states = [column for feature in features_of(entity) for column in feature.state_columns()]
    prefixed = [(f"recent_{name}", kind) for name, kind in PROVENANCE_COLUMNS]
    head = [
        ("recent_buckets_ms", ColumnType.INTS),
        ("recent_generations", ColumnType.INTS),
        ("recent_dropped_through_ms", ColumnType.INT),
    ]
    return [*head, *states, *prefixed]


def merged_view_columns(entity: Entity) -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_profile` or `item_stats`: when it holds, what covers it, then the finished values."""
    values = [column for feature in features_of(entity) for column in feature.value_columns()]
    counts = [column for feature in batch_only_of(entity) for column in feature.value_columns()]
    derived = [(feature.name, feature.type) for feature in derived_of(entity)]
    head = [
        ("as_of_ms", ColumnType.INT),
        ("covered_to_ms", ColumnType.INT),
        ("history_gap", ColumnType.INT),
        ("incomplete", ColumnType.STRINGS),
    ]
    return [*head, *values, *counts, *derived]


def session_view_columns() -> list[tuple[str, ColumnType]]:
    """Columns of `visitor_session`, with the origin of the row."""
    values = [(value.name, value.type) for feature in SESSION for value in feature.values]
    return [*values, *((f"session_{name}", kind) for name, kind in PROVENANCE_COLUMNS)]
