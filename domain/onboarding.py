"""Onboarding: what a new visitor names is said in events of kinds that there are, so every layer folds it as ever.

A favourite is a `like` of the item. A category is a `like` of an item that stands for the category: it counts for the
visitor's taste, it is the beginning of what models learn to follow it with, and it is never shown itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from domain.slates import UNWELCOME_KINDS, Act
from schemas.events import InteractionContext, InteractionEvent, Kind

ONBOARDING: Final = "onboarding"
"""The `context.source` of what was said at onboarding."""

LIKE: Final[Kind] = "like"
_PREFIX: Final = "category:"


def item_for(category: str) -> str:
    """The item that stands for a category."""
    return f"{_PREFIX}{category}"


def named_category(item_id: str) -> str | None:
    """The category that the item stands for, None for a real item."""
    return item_id.removeprefix(_PREFIX) if item_id.startswith(_PREFIX) else None


def onboarding_events(
    visitor_id: str, items: Sequence[str], categories: Sequence[str], at_ms: int, user_id: str | None = None
) -> list[InteractionEvent]:
    """What was named, as events: categories first, so that of several the last named favourite is the newest act.

    Naming the same again within the span in which the platform knows duplicates changes nothing.
    """
    named = [
        *((item_for(one), (one,)) for one in dict.fromkeys(categories)),
        *((one, ()) for one in dict.fromkeys(items)),
    ]
    return [
        InteractionEvent(
            event_id=_event_id(visitor_id, item_id),
            visitor_id=visitor_id,
            user_id=user_id,
            item_id=item_id,
            kind=LIKE,
            occurred_at_ms=at_ms + place,
            context=InteractionContext(categories=stamped, source=ONBOARDING),
        )
        for place, (item_id, stamped) in enumerate(named, start=-len(named) + 1)
    ]


def categories_named(acts: Iterable[Act]) -> list[str]:
    """The categories for which these acts, oldest first, were said; the newest first."""
    named = [act for act in acts if act.item_id.startswith(_PREFIX)]
    welcome = [act.item_id.removeprefix(_PREFIX) for act in reversed(named) if act.kind not in UNWELCOME_KINDS]
    return list(dict.fromkeys(welcome))


def _event_id(visitor_id: str, item_id: str) -> str:
    named = blake2b(f"{visitor_id}\x00{item_id}".encode(), digest_size=12).hexdigest()
    return f"{ONBOARDING}-{named}"
