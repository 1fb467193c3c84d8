"""Builders of events, facts and logs: every argument has a default, so that a test names only what it is about.

Only `schemas`, `domain` and the standard library: these tests run in both environments.
"""

from __future__ import annotations

from typing import Any

from domain.facts import Fact, Stamp, to_fact
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord
from domain.timeline import Visit
from schemas.events import ImpressionEvent, InteractionContext, InteractionEvent, Kind

START_MS = 1_750_000_000_000 - 1_750_000_000_000 % 86_400_000
"""A midnight, so that offsets from it are easy to read."""

MINUTE_BUCKETS = Policies(bucket=BucketPolicy(period_ms=60_000, kept=8, dedup=1))


def interaction(
    event_id: str = "e1",
    *,
    visitor: str = "ada",
    item: str = "book",
    kind: Kind = "view",
    at_ms: int = START_MS,
    categories: tuple[str, ...] = (),
    **fields: Any,
) -> InteractionEvent:
    """An interaction; `at_ms` is when it happened."""
    context = fields.pop("context", InteractionContext(categories=categories))
    return InteractionEvent(
        event_id=event_id, visitor_id=visitor, item_id=item, kind=kind, occurred_at_ms=at_ms, context=context, **fields
    )


def stamp(at_ms: int = START_MS, *, partition: int = 0, offset: int = 0) -> Stamp:
    """When and where Kafka took a record."""
    return Stamp(at_ms, partition, offset)


def record(
    event_id: str = "e1", *, received_at_ms: int = START_MS, partition: int = 0, offset: int = 0, **fields: Any
) -> LogRecord:
    """A record of the log; it happened when it was received unless `at_ms` says otherwise."""
    fields.setdefault("at_ms", received_at_ms)
    return LogRecord(interaction(event_id, **fields), stamp(received_at_ms, partition=partition, offset=offset))


def fact(event_id: str = "e1", *, received_at_ms: int = START_MS, **fields: Any) -> Fact:
    """A fact; it happened when it was received unless `at_ms` says otherwise."""
    fields.setdefault("at_ms", received_at_ms)
    return to_fact(interaction(event_id, **fields), received_at_ms)


def impression(slate_id: str = "s1", *, visitor: str = "ada", items: tuple[str, ...] = ("book",)) -> ImpressionEvent:
    """A slate that was shown."""
    return ImpressionEvent(
        slate_id=slate_id,
        visitor_id=visitor,
        items=items,
        shown_at_ms=START_MS,
        policy="session_first",
        arm="only",
        propensities=(1.0,) * len(items),
        model_version="none",
    )


def visit(at_ms: int, event_id: str = "", *, item: str = "book", session_id: str = "", kind: str = "view") -> Visit:
    """A visit `at_ms` after START_MS; its event id follows from the instant unless given."""
    return Visit(START_MS + at_ms, event_id or f"e{at_ms}", item, kind, (), session_id)
