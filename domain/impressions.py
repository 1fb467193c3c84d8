"""Impressions: how often an item was shown, and how often that led to a click or a conversion.

What counts, below one cutoff (an instant; both topics are read by Kafka's timestamp):
- *shown*: the item stands in a slate. Of the records with one slate id only the first counts, by when it was
  received, then partition and offset: delivery may be repeated, nobody adds to a slate that is already told, and what
  is first stays so for every later cutoff.
- *clicked* (view, click or play) and *converted* (cart or purchase): an admitted interaction names the slate and the
  item, the slate did show the item, and the visitor is the one to whom it was shown.
Each pair of slate and item counts once in each, however often the visitor acted. That somebody else names a slate
(a shared link, or a forgery) says nothing of whom it was shown to, so it counts for neither.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from domain.facts import Stamp
from schemas.errors import Reason, RejectedEvent
from schemas.events import ImpressionEvent, Kind, decode

if TYPE_CHECKING:  # the reference knows the catalogue, and the catalogue this module
    from domain.reference import LogRecord

CLICKS: Final[tuple[Kind, ...]] = ("view", "click", "play")
"""The kinds of an interaction that follow a slate as a click."""

CONVERSIONS: Final[tuple[Kind, ...]] = ("cart", "purchase")
"""The kinds of an interaction that follow a slate as a conversion."""

CLICK_PRIOR: Final = 0.05
"""The click-through rate of an item that was never shown, in clicks per impression."""

CONVERSION_PRIOR: Final = 0.01
"""The conversion rate of an item that was never shown, in conversions per impression."""

PRIOR_WEIGHT: Final = 100
"""How many impressions the priors weigh: after so many, an item's own rate counts one half."""


@dataclass(frozen=True, slots=True)
class ImpressionRecord:
    """One screened record of the impressions topic."""

    event: ImpressionEvent
    stamp: Stamp


class ImpressionCounts(NamedTuple):
    """Slates that showed an item, and those of them that led to a click, and to a conversion."""

    shown: int = 0
    clicked: int = 0
    converted: int = 0


def screen_impression(key: str, raw: bytes | memoryview) -> ImpressionEvent:
    """The impression of a Kafka record.

    Raises:
        RejectedEvent: `malformed`, `contract`, `oversize`; `key` when the Kafka key is not the visitor.
    """
    event = decode(ImpressionEvent, raw)
    if key != event.visitor_id:
        raise RejectedEvent(Reason.KEY, "visitor_id", "the Kafka key must equal visitor_id: set key=visitor_id")
    return event


def impression_counts(
    impressions: Iterable[ImpressionRecord], admitted: Iterable[LogRecord], cutoff_ms: int
) -> dict[str, ImpressionCounts]:
    """What every shown item has come to below the cutoff: the naive reference of `batch.features.impressions`.

    `admitted` are the interactions that count, of every visitor who acted on a shown item. Of each slate id that is
    asked about, all records must be there.
    """
    slates: dict[str, ImpressionEvent] = {}
    for shown in sorted(impressions, key=lambda one: (one.stamp.received_at_ms, one.stamp.partition, one.stamp.offset)):
        if shown.stamp.received_at_ms < cutoff_ms:
            slates.setdefault(shown.event.slate_id, shown.event)
    kinds_of: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for record in admitted:
        event = record.event
        if event.slate_id is not None and record.stamp.received_at_ms < cutoff_ms:
            kinds_of[event.slate_id, event.visitor_id, event.item_id].add(event.kind)
    shown_in, clicked, converted = Counter[str](), Counter[str](), Counter[str]()
    for slate in slates.values():
        for item_id in set(slate.items):
            kinds = kinds_of.get((slate.slate_id, slate.visitor_id, item_id), set())
            shown_in[item_id] += 1
            clicked[item_id] += not kinds.isdisjoint(CLICKS)
            converted[item_id] += not kinds.isdisjoint(CONVERSIONS)
    return {item: ImpressionCounts(count, clicked[item], converted[item]) for item, count in shown_in.items()}
