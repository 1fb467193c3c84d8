"""Frozen parameters of the rules. One set holds for the stream, the batch layer and the reader alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class BucketPolicy:
    """How ingestion time is cut: a record's bucket is the period of its Kafka timestamp.

    `kept` newest buckets stay in the stream's state; an event id is remembered in its own and `dedup` earlier ones.
    """

    period_ms: int = DAY_MS
    kept: int = 8
    dedup: int = 1

    def __post_init__(self) -> None:
        if self.period_ms < 1_000 or not 0 <= self.dedup < self.kept <= 64:
            raise ValueError(f"period_ms >= 1000 and 0 <= dedup < kept <= 64, not {self}")

    def start_of(self, received_at_ms: int) -> int:
        """The start, in epoch milliseconds, of the bucket of a record."""
        return received_at_ms - received_at_ms % self.period_ms

    def last_closed_end(self, now_ms: int, grace_ms: int) -> int:
        """The newest boundary that lies at least `grace_ms` in the past: the latest possible cutoff."""
        return self.start_of(now_ms - grace_ms)


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """A session ends with a gap above `gap_ms`; a gap of exactly `gap_ms` extends it."""

    gap_ms: int = 30 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class TimelinePolicy:
    """A timeline holds at most `visits_max` visits, none more than `horizon_ms` before its newest."""

    horizon_ms: int = DAY_MS
    visits_max: int = 50


@dataclass(frozen=True, slots=True)
class AdmissionPolicy:
    """What is let in: at most `future_max_ms` ahead of its receipt, and `admitted_max` different events of a visitor
    per partition and bucket.
    """

    future_max_ms: int = 5 * MINUTE_MS
    admitted_max: int = 2_000


@dataclass(frozen=True, slots=True)
class Policies:
    """All policies of one deployment."""

    bucket: BucketPolicy = BucketPolicy()
    session: SessionPolicy = SessionPolicy()
    timeline: TimelinePolicy = TimelinePolicy()
    admission: AdmissionPolicy = AdmissionPolicy()
