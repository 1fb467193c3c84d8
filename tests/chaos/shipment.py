"""What a producer sends, and how much of what."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from schemas.errors import Reason

Route = Literal["kafka", "http"]
Subject = Literal["interactions", "impressions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """How much of what. Shares are of the events that are made; `duplicates` come on top."""

    duration_ms: int
    period_ms: int
    events_per_s: float = 60.0
    duplicates: float = 0.05
    shuffled: float = 0.10
    late: float = 0.01
    poison: float = 0.01
    breaches: float = 0.01
    future: float = 0.005
    misplaced: float = 0.01
    silent: float = 0.03
    bot: float = 0.08
    http: float = 0.20
    slates: float = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """One record or posted event, `at_ms` after the start; `subject` is the topic.

    With a `reason` it must be refused for it; without one it must be in the lake. `event_id` is that of an interaction
    which must be there.
    """

    at_ms: int
    route: Route
    key: bytes | None
    value: bytes | None
    event_id: str = ""
    reason: Reason | None = None
    subject: Subject = "interactions"


def later(generator: Random, mix: Mix, at_ms: int, least_ms: int, most_ms: int) -> int:
    """An instant after this one, within the run."""
    room_ms = max(mix.duration_ms - at_ms, 0)
    return at_ms + int(generator.uniform(min(least_ms, room_ms), min(most_ms, room_ms)))


def again_at(generator: Random, mix: Mix, at_ms: int) -> int:
    """When a duplicate comes: soon, or one to three and a half buckets later, which is on both sides of the memory."""
    if generator.random() < 0.5:
        return later(generator, mix, at_ms, 0, 2_000)
    return later(generator, mix, at_ms, mix.period_ms, 3 * mix.period_ms + mix.period_ms // 2)
