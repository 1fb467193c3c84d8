"""What is known of the current session: finished from a run of visits, never stored unfinished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.aggregates import ColumnType
from domain.timeline import Visit

ITEMS_MAX: Final = 20
CATEGORIES_MAX: Final = 5
BINGE_PLAYS: Final = 3

Session = Sequence[Visit]
"""A run of visits, oldest first."""


@dataclass(frozen=True, slots=True)
class SessionValue:
    """One column of the session view: its type and how it follows from a non-empty session."""

    name: str
    type: ColumnType
    derive: Callable[[Session], Any]


def _newest(session: Session) -> Session:
    return session[-ITEMS_MAX:]


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def _categories(session: Session) -> list[tuple[str, int]]:
    return _ranked(Counter(category for visit in session for category in visit.categories))[:CATEGORIES_MAX]


def _kinds(session: Session) -> list[tuple[str, int]]:
    return _ranked(Counter(visit.kind for visit in session))


def _in_cart(session: Session) -> list[str]:
    """Items put into the cart in this session and not bought since, in the order in which they were put there."""
    cart: dict[str, None] = {}
    for visit in session:
        if visit.kind == "cart":
            cart[visit.item_id] = None
        elif visit.kind == "purchase":
            cart.pop(visit.item_id, None)
    return list(cart)[-ITEMS_MAX:]


def _dwell_mean_ms(session: Session) -> int:
    """The mean time between successive visits, in whole milliseconds; 0 for a session of one."""
    steps = len(session) - 1
    return (session[-1].occurred_at_ms - session[0].occurred_at_ms) // steps if steps else 0


def _binge_probability(session: Session) -> float:
    plays = sum(visit.kind == "play" for visit in session)
    return 1.0 if plays >= BINGE_PLAYS else (plays / (plays + 1)) ** (BINGE_PLAYS - plays)


FLOAT = ColumnType.FLOAT
INT, INTS, STRING, STRINGS = ColumnType.INT, ColumnType.INTS, ColumnType.STRING, ColumnType.STRINGS

SESSION_ITEMS: Final = (
    SessionValue("session_items", STRINGS, lambda session: [visit.item_id for visit in _newest(session)]),
    SessionValue("session_items_at_ms", INTS, lambda session: [visit.occurred_at_ms for visit in _newest(session)]),
    SessionValue("session_items_kinds", STRINGS, lambda session: [visit.kind for visit in _newest(session)]),
)
SESSION_LENGTH: Final = (
    SessionValue("session_length", INT, len),
    SessionValue("session_distinct_items", INT, lambda session: len({visit.item_id for visit in session})),
)
SESSION_TIME: Final = (
    SessionValue("session_started_at_ms", INT, lambda session: session[0].occurred_at_ms),
    SessionValue("session_last_at_ms", INT, lambda session: session[-1].occurred_at_ms),
    SessionValue("session_dwell_mean_ms", INT, _dwell_mean_ms),
)
SESSION_KINDS: Final = (
    SessionValue("session_kinds_keys", STRINGS, lambda session: [key for key, _ in _kinds(session)]),
    SessionValue("session_kinds_values", INTS, lambda session: [count for _, count in _kinds(session)]),
)
SESSION_CATEGORIES: Final = (
    SessionValue("session_categories_keys", STRINGS, lambda session: [key for key, _ in _categories(session)]),
    SessionValue("session_categories_values", INTS, lambda session: [count for _, count in _categories(session)]),
)
SESSION_CART: Final = (SessionValue("session_cart_items", STRINGS, _in_cart),)
SESSION_BINGE: Final = (SessionValue("session_binge_probability", FLOAT, _binge_probability),)
SESSION_DECLARED: Final = (SessionValue("session_declared_id", STRING, lambda session: session[-1].session_id),)
