"""The routes of onboarding: what a new visitor may choose from, and what they have chosen."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain.onboarding import onboarding_events
from domain.slates import Placement
from domain.unwanted import objection_to
from infra import metrics
from schemas.events import encode
from serving.api.bodies import QUERY_BODY_BYTES_MAX, answer, decode_body, read_body
from serving.api.documents import answers, asks
from serving.api.errors import InvalidField, Unacknowledged
from serving.api.services import Services
from serving.api.shapes_onboarding import Category, Choice, Onboarded, OnboardingChoices, OnboardingRequest

Count = Annotated[int, Query(ge=1, le=100)]

EFFECTIVE_S: Final = 1.0
"""How long the answer waits for the stream."""

PAUSE_S: Final = 0.01
LOOKED_AT_MAX: Final = 2_000
CHOICES_OF_CATEGORY_MAX: Final = 3
CATEGORIES_SHOWN_MAX: Final = 40

_REQUESTS = msgspec.json.Decoder(OnboardingRequest)


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["onboarding"])

    @routes.post(
        "/v1/onboarding", responses=answers(Onboarded, 413, 422, 503, also=202), openapi_extra=asks(OnboardingRequest)
    )
    async def onboard(request: Request) -> Response:
        """Take what a new visitor names, and answer when the next slate knows it.

        It is kept as `like` events with `context.source` "onboarding", so it counts as any other act does, at once and
        later; a category is a like of what stands for it. 202 while it waits on the server's disk for Kafka.
        """
        body = decode_body(_REQUESTS, await read_body(request, QUERY_BODY_BYTES_MAX))
        _check(body, services)
        events = onboarding_events(body.visitor_id, body.items, body.categories, services.now_ms(), body.user_id)
        taken = await services.gateway.take_interactions([msgspec.Raw(encode(event)) for event in events])
        for verdict in ("accepted", "unconfirmed", "spooled"):
            metrics.SERVING_EVENTS.labels(verdict).inc(taken.count(verdict))
        if taken.count("unconfirmed"):
            raise Unacknowledged(taken)
        is_in_kafka = taken.count("accepted") == len(events)
        return answer(
            Onboarded(
                accepted=taken.count("accepted"),
                received_at_ms=taken.received_at_ms,
                is_effective=is_in_kafka and await _is_effective(services, body.visitor_id, taken.received_at_ms),
                unknown_items=tuple(events[each.index].item_id for each in taken.verdicts if each.unknown_item),
                verdicts=taken.verdicts,
            ),
            200 if is_in_kafka else 202,
        )

    @routes.get("/v1/onboarding", responses=answers(OnboardingChoices, 422))
    async def choices(count: Count = 24) -> Response:
        """What a new visitor may be asked about: the largest categories, and popular items of various categories."""
        sizes = services.catalogue.category_sizes()
        largest = sorted(sizes, key=lambda category: (-sizes[category], category))[:CATEGORIES_SHOWN_MAX]
        return answer(
            OnboardingChoices(
                categories=tuple(Category(category=each, items=sizes[each]) for each in largest),
                items=_various(services, count),
            )
        )

    return routes


def _check(body: OnboardingRequest, services: Services) -> None:
    """Raises InvalidField when nothing is named, or a category that no item has."""
    if not body.items and not body.categories:
        raise InvalidField("items", "nothing is named", 'send "items": ["an item_id"] or "categories": ["a category"]')
    sizes = services.catalogue.category_sizes()
    for place, category in enumerate(body.categories):
        if category not in sizes:
            problem = f"no item has the category {category!r}"
            raise InvalidField(f"categories[{place}]", problem, "GET /v1/onboarding lists the categories")


async def _is_effective(services: Services, visitor_id: str, received_at_ms: int) -> bool:
    """Whether the stores know the visitor up to this instant, waited for."""
    deadline_s = asyncio.get_running_loop().time() + EFFECTIVE_S
    while True:
        rows = await services.hydrate.rows(visitor_id, ())
        if rows.profile["as_of_ms"] >= received_at_ms:
            return True
        if asyncio.get_running_loop().time() >= deadline_s:
            return False
        await asyncio.sleep(PAUSE_S)


def _various(services: Services, count: int) -> tuple[Choice, ...]:
    """Popular items, of a first category at most a few."""
    model, catalogue = services.model_of(), services.catalogue
    rules = services.rules().in_force(Placement.HOME, services.now_ms())
    chosen: list[Choice] = []
    taken: Counter[str] = Counter()
    for item_id, _ in model.popular(LOOKED_AT_MAX) if model is not None else ():
        item = catalogue.item(item_id)
        if item is None or not item.title or objection_to(item_id, item, rules=rules) is not None:
            continue
        first = item.categories[0] if item.categories else ""
        if taken[first] < CHOICES_OF_CATEGORY_MAX:
            taken[first] += 1
            chosen.append(Choice(item_id=item_id, title=item.title, categories=item.categories))
        if len(chosen) == count:
            break
    return tuple(chosen)
