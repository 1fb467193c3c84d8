"""The topics: one table, from which they are created and documented."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

DAY_MS: Final = 86_400_000

KAFKA_RECORD_BYTES_MAX: Final = 1_048_576
"""What a broker takes in one record unless told otherwise. (Its own bound is 12 bytes more, and counts the frame.)"""

DEAD_LETTER_BYTES_MAX: Final = 2 * KAFKA_RECORD_BYTES_MAX
"""The largest record in Base64, which makes 4 bytes of 3, with what a dead letter says of it."""

STATE_BYTES_MAX: Final = 8 * KAFKA_RECORD_BYTES_MAX
"""A row holds `kept` buckets of what the most hostile visitor can say, about 0.1 MB each; so 64, the most, fit."""

ISOLATION_LEVEL: Final = "read_uncommitted"
"""How every layer reads the log: alike, or their features would differ. What a producer's open transaction holds is
read at once, and what it aborts has happened all the same; so no producer can hold the stream up."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic. `retention_ms` is None where the topic is compacted: the newest record per key stays.

    `record_bytes_max` is None where the broker's bound holds, `KAFKA_RECORD_BYTES_MAX`.
    """

    name: str
    key: str
    partitions: int
    cleanup: Literal["delete", "compact"]
    retention_ms: int | None
    writer: str
    readers: str
    record_bytes_max: int | None = None

    def named(self, prefix: str) -> Topic:
        """The same topic under a prefixed name, so that several instances can share a broker."""
        return replace(self, name=f"{prefix}{self.name}")


INTERACTIONS: Final = Topic(
    "interactions", "visitor_id", 4, "delete", 11 * DAY_MS, "gateway, producers", "speed job, archiver"
)
"""Kept for (kept + dedup + 2) buckets of a day, so that the stream can always be rebuilt from it."""

ITEMS: Final = Topic("items", "item_id", 2, "compact", None, "gateway", "serving")
RULES: Final = Topic("rules", "rule_id", 1, "compact", None, "gateway", "serving")
IMPRESSIONS: Final = Topic("impressions", "visitor_id", 4, "delete", 11 * DAY_MS, "serving", "archiver")
VISITOR_STATES: Final = Topic(
    "visitor-states", "visitor_id", 4, "compact", None, "speed job", "feature writer", STATE_BYTES_MAX
)
ITEM_STATES: Final = Topic(
    "item-states", "item_id", 4, "compact", None, "speed job", "feature writer, serving", STATE_BYTES_MAX
)
DEAD_LETTERS: Final = Topic(
    "dead-letters", "partition:offset", 1, "delete", 30 * DAY_MS, "speed job", "operator", DEAD_LETTER_BYTES_MAX
)
REDRIVEN: Final = Topic("redriven", "partition:offset", 1, "compact", None, "operator", "operator")
"""Which dead letters were sent again, so that none is sent twice. Compacted, so that no mark goes before its letter."""

ALL_TOPICS: Final = (INTERACTIONS, ITEMS, RULES, IMPRESSIONS, VISITOR_STATES, ITEM_STATES, DEAD_LETTERS, REDRIVEN)
