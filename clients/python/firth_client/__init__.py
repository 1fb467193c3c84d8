"""A client of Firth: events in, recommendations out. Stands by itself: httpx and msgspec, nothing of the platform."""

from .asynchronous import AsyncFirth
from .client import Firth
from .errors import FirthError
from .retries import Retries
from .sender import EventSender
from .shapes import Because, Click, Event, ItemList, Ranking, Slate, SlateItem, Verdict, Verdicts

__all__ = [
    "AsyncFirth",
    "Because",
    "Click",
    "Event",
    "EventSender",
    "Firth",
    "FirthError",
    "ItemList",
    "Ranking",
    "Retries",
    "Slate",
    "SlateItem",
    "Verdict",
    "Verdicts",
]
