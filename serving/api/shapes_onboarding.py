"""What is asked and answered at onboarding."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from schemas.events import Identifier, Label
from serving.adapters.gateway import Verdict

FAVOURITES_MAX: Final = 50
CATEGORIES_MAX: Final = 16


class OnboardingRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new visitor likes: favourite items, the dearest last, or categories, or both."""

    visitor_id: Identifier
    items: Annotated[tuple[Identifier, ...], Meta(max_length=FAVOURITES_MAX)] = ()
    categories: Annotated[tuple[Label, ...], Meta(max_length=CATEGORIES_MAX)] = ()
    user_id: Identifier | None = None


class Onboarded(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `POST /v1/onboarding`: what was named is in Kafka, as likes.

    `is_effective`: the next answer knows it. Else it will be known later: the stream has not told of it within a
    second, or it waits for Kafka on the server's disk. `unknown_items` are not in the catalogue; they count all the
    same.
    """

    accepted: int
    received_at_ms: int
    is_effective: bool
    unknown_items: tuple[str, ...]
    verdicts: tuple[Verdict, ...]


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A category of the catalogue, and how many items it has."""

    category: str
    items: int


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """An item that many know."""

    item_id: str
    title: str
    categories: tuple[str, ...]


class OnboardingChoices(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /v1/onboarding`: the largest categories, and popular items of various categories."""

    categories: tuple[Category, ...]
    items: tuple[Choice, ...]
