"""Features of the moment: what a request itself says of when and where it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.aggregates import ColumnType
from domain.facts import WEEKDAY_OF_EPOCH
from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS

UNKNOWN_DEVICE: Final = "unknown"
HOURS: Final = 24
WEEKDAYS: Final = 7

CONTEXT_INPUTS: Final = (
    ("asked_at_ms", ColumnType.INT),
    ("utc_offset_min", ColumnType.INT),
    ("device", ColumnType.STRING),
)
"""What the asker tells: the instant (epoch milliseconds), the visitor's local time minus UTC in minutes, the device."""


@dataclass(frozen=True, slots=True)
class ContextFeature:
    """One value of the moment."""

    name: str
    type: ColumnType
    description: str
    unit: str
    owner: str = "platform"


CONTEXT: Final = (
    ContextFeature("context_hour", ColumnType.INT, "The hour of the visitor's day, 0 to 23.", "hour"),
    ContextFeature("context_weekday", ColumnType.INT, "The visitor's day of the week, 0 is Monday.", "day"),
    ContextFeature("context_device", ColumnType.STRING, "The device as the asker names it, or `unknown`.", "name"),
)


def context_cells(asked_at_ms: int, utc_offset_min: int = 0, device: str | None = None) -> dict[str, int | str]:
    """The cells of `request_context`."""
    local_ms = asked_at_ms + utc_offset_min * MINUTE_MS
    return {
        "context_hour": local_ms // HOUR_MS % HOURS,
        "context_weekday": (local_ms // DAY_MS + WEEKDAY_OF_EPOCH) % WEEKDAYS,
        "context_device": device or UNKNOWN_DEVICE,
    }
