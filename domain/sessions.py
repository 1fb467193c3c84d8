"""What is known of the current session: finished from a run of visits, never stored unfinished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.aggregates import ColumnType
from domain.timeline import Visit
from schemas.events import KINDS

ITEMS_MAX: Final = 20
CATEGORIES_MAX: Final = 5
KINDS_MAX: Final = len(KINDS)
BINGE_PLAYS: Final = 3


class Session:
    """A run of visits, oldest first and never empty; what several columns are made of is found once."""

    __slots__ = ("at_ms", "categories", "items", "kinds", "kinds_counted", "visits")

    def __init__(self, visits: Sequence[Visit]) -> None:
        self.visits = visits
        self.at_ms = [visit.occurred_at_ms for visit in visits]
        self.items = [visit.item_id for visit in visits]
        self.kinds = [visit.kind for visit in visits]
        self.kinds_counted = _ranked(self.kinds, KINDS_MAX)
        self.categories = _ranked([category for visit in visits for category in visit.categories], CATEGORIES_MAX)


@dataclass(frozen=True, slots=True)
class SessionValue:
    """One column of the session view: its type and how it follows from a session."""

    name: str
    type: ColumnType
    derive: Callable[[Session], Any]


def _ranked(words: Sequence[str], limit: int) -> tuple[list[str], list[int]]:
    """The most frequent words and their counts, those of the same count in alphabetical order."""
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts)
    ranked.sort(key=counts.__getitem__, reverse=True)
    ranked = ranked[:limit]
    return ranked, [counts[word] for word in ranked]


def cart_after(before: Iterable[str], kinds: Iterable[str], items: Iterable[str]) -> list[str]:
    """A cart of at most `ITEMS_MAX` items after some acts, oldest first: a put adds its item, a purchase takes it."""
    cart = dict.fromkeys(before)
    for kind, item in zip(kinds, items, strict=True):
        if kind == "cart":
            cart[item] = None
        elif kind == "purchase":
            cart.pop(item, None)
    return list(cart)[-ITEMS_MAX:]


def _in_cart(session: Session) -> list[str]:
    """Items put into the cart in this session and not bought since, in the order in which they were put there."""
    return cart_after((), session.kinds, session.items) if "cart" in session.kinds else []


def _dwell_mean_ms(session: Session) -> int:
    """The mean time between successive visits, in whole milliseconds; 0 for a session of one."""
    steps = len(session.at_ms) - 1
    return (session.at_ms[-1] - session.at_ms[0]) // steps if steps else 0


def _binge_probability(session: Session) -> float:
    plays = session.kinds.count("play")
    return 1.0 if plays >= BINGE_PLAYS else (plays / (plays + 1)) ** (BINGE_PLAYS - plays)


FLOAT = ColumnType.FLOAT
INT, INTS, STRING, STRINGS = ColumnType.INT, ColumnType.INTS, ColumnType.STRING, ColumnType.STRINGS

SESSION_ITEMS: Final = (
    SessionValue("session_items", STRINGS, lambda session: session.items[-ITEMS_MAX:]),
    SessionValue("session_items_at_ms", INTS, lambda session: session.at_ms[-ITEMS_MAX:]),
    SessionValue("session_items_kinds", STRINGS, lambda session: session.kinds[-ITEMS_MAX:]),
)
SESSION_LENGTH: Final = (
    SessionValue("session_length", INT, lambda session: len(session.items)),
    SessionValue("session_distinct_items", INT, lambda session: len(set(session.items))),
)
SESSION_TIME: Final = (
    SessionValue("session_started_at_ms", INT, lambda session: session.at_ms[0]),
    SessionValue("session_last_at_ms", INT, lambda session: session.at_ms[-1]),
    SessionValue("session_dwell_mean_ms", INT, _dwell_mean_ms),
)
SESSION_KINDS: Final = (
    SessionValue("session_kinds_keys", STRINGS, lambda session: session.kinds_counted[0]),
    SessionValue("session_kinds_values", INTS, lambda session: session.kinds_counted[1]),
)
SESSION_CATEGORIES: Final = (
    SessionValue("session_categories_keys", STRINGS, lambda session: session.categories[0]),
    SessionValue("session_categories_values", INTS, lambda session: session.categories[1]),
)
SESSION_CART: Final = (SessionValue("session_cart_items", STRINGS, _in_cart),)
SESSION_BINGE: Final = (SessionValue("session_binge_probability", FLOAT, _binge_probability),)
SESSION_DECLARED: Final = (SessionValue("session_declared_id", STRING, lambda session: session.visits[-1].session_id),)
