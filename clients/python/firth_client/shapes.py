"""What is sent and what comes back. What a newer server adds to its answers is passed over."""

from __future__ import annotations

import time
from typing import Any, Literal
from uuid import uuid4

import msgspec
from msgspec import field

Kind = Literal["view", "click", "play", "cart", "purchase", "rating", "like", "dislike", "hide"]


def _new_id() -> str:
    return uuid4().hex


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A visitor acted on an item, now unless `occurred_at_ms` says when.

    Sending an event twice is safe: its `event_id` names it.
    """

    visitor_id: str
    item_id: str
    kind: Kind
    event_id: str = field(default_factory=_new_id)
    occurred_at_ms: int = field(default_factory=_now_ms)
    user_id: str | None = None
    session_id: str | None = None
    value: float | None = None
    slate_id: str | None = None
    position: int | None = None
    personalise: bool = True
    context: dict[str, Any] = field(default_factory=dict)


class Click(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An act of this session that may not have arrived; it counts at once."""

    item_id: str
    kind: Kind = "view"
    at_ms: int | None = None


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """The visitor's own act behind an item."""

    item_id: str
    title: str
    kind: str
    at_ms: int


class SlateItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item, and why it is there."""

    item_id: str
    title: str = ""
    categories: tuple[str, ...] = ()
    score: float = 0.0
    source: str = ""
    reason: str = ""
    because: Because | None = None
    rule: str | None = None
    propensity: float = 1.0


class Slate(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for a visitor. `degraded` names what it had to do without; it is an answer all the same."""

    slate_id: str
    items: tuple[SlateItem, ...]
    features_as_of_ms: int
    model_version: str
    degraded: tuple[str, ...] = ()
    session: dict[str, Any] = field(default_factory=dict)
    next_cursor: str | None = None
    removed: tuple[dict[str, Any], ...] | None = None
    took_ms: float = 0.0


class ItemList(msgspec.Struct, frozen=True, kw_only=True):
    """Items that are nobody's in particular."""

    items: tuple[SlateItem, ...]
    model_version: str
    degraded: tuple[str, ...] = ()


class RankedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One of the given items, in its place."""

    item_id: str
    title: str = ""
    ranked_by: str = ""
    is_known: bool = True
    score: float = 0.0


class Ranking(msgspec.Struct, frozen=True, kw_only=True):
    """The given items, best first."""

    items: tuple[RankedItem, ...]
    model_version: str
    degraded: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the event at `index`: accepted, spooled, rejected (useless to send again), or unconfirmed."""

    index: int
    verdict: str
    reason: str | None = None
    field: str = ""
    detail: str = ""


class Verdicts(msgspec.Struct, frozen=True, kw_only=True):
    """The verdicts on all events that were sent, in their order."""

    accepted: int
    rejected: int
    received_at_ms: int
    verdicts: tuple[Verdict, ...]
    spooled: int = 0
