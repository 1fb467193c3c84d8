"""A fact: what a fold may know of one admitted interaction, and nothing else."""

from __future__ import annotations

from typing import Final

import msgspec

from domain.policies import HOUR_MS, MINUTE_MS
from schemas.events import UNKNOWN_CATEGORY, InteractionEvent

MICROS: Final = 1_000_000


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """Where and when Kafka took a record: the same for every reader. History has partition -1."""

    received_at_ms: int
    partition: int
    offset: int


class Fact(msgspec.Struct, frozen=True, array_like=True):
    """One admitted interaction, reduced to what folds use. `value_micros` is 0 where the event has no value."""

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

    @property
    def local_hour(self) -> int:
        """The visitor's hour of the day, 0 to 23."""
        return (self.occurred_at_ms + self.utc_offset_min * MINUTE_MS) // HOUR_MS % 24


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
    )
