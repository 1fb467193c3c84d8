"""A fact: what a fold may know of one admitted interaction, and nothing else."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final

import msgspec

from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS
from schemas.events import CRITIC, UNKNOWN_CATEGORY, InteractionContext, InteractionEvent

MICROS: Final = 1_000_000
MILLIS: Final = 1_000
WEEKDAY_OF_EPOCH: Final = 3
"""1970-01-01 was a Thursday; Monday is 0."""


IDENTITY_BYTES: Final = 8


def identity(event_id: str) -> bytes:
    """A 64-bit hash of an event id (BLAKE2b): always a hash, never a slice, so that adversarial ids do not collide."""
    return blake2b(event_id.encode(), digest_size=IDENTITY_BYTES).digest()


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """Where and when Kafka took a record: the same for every reader. History has partition -1."""

    received_at_ms: int
    partition: int
    offset: int


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """One admitted interaction, reduced to what folds use.

    `value_micros` is 0 where the event has no value. `critic_milli` is the weight
    of a critic's word, in thousandths, 1,000 where the event names none; it is 0 for everybody else.
    """

    occurred_at_ms: int
    received_at_ms: int
    event_id: str
    visitor_id: str
    item_id: str
    kind: str
    value_micros: int
    categories: tuple[str, ...]
    utc_offset_min: int
    session_id: str
    critic_milli: int = 0

    @property
    def local_hour(self) -> int:
        """The visitor's hour of the day, 0 to 23."""
        return (self.occurred_at_ms + self.utc_offset_min * MINUTE_MS) // HOUR_MS % 24

    @property
    def local_weekday(self) -> int:
        """The visitor's day of the week, 0 (Monday) to 6."""
        return ((self.occurred_at_ms + self.utc_offset_min * MINUTE_MS) // DAY_MS + WEEKDAY_OF_EPOCH) % 7


def to_fact(event: InteractionEvent, received_at_ms: int) -> Fact:
    """The fact of an event. Values become fixed-point micros, rounded half-even as in every engine."""
    context = event.context
    return Fact(
        event.occurred_at_ms,
        received_at_ms,
        event.event_id,
        event.visitor_id,
        event.item_id,
        event.kind,
        0 if event.value is None else round(event.value * MICROS),
        context.categories or (UNKNOWN_CATEGORY,),
        context.utc_offset_min,
        event.session_id or "",
        _critic_milli(context),
    )


def _critic_milli(context: InteractionContext) -> int:
    if context.source != CRITIC:
        return 0
    return MILLIS if context.weight is None else round(context.weight * MILLIS)
