"""The routes that take events in."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from infra import metrics
from schemas.events import InteractionEvent, ItemEvent
from serving.adapters.gateway import Taken
from serving.api import contract
from serving.api.bodies import EVENT_BODY_BYTES_MAX, answer, read_body, split_events
from serving.api.documents import answers, asks_events
from serving.api.errors import Unacknowledged
from serving.api.services import Services


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["ingestion"])

    @routes.post(
        "/v1/events",
        responses=answers(contract.Verdicts, 413, 422, 503, also=202),
        openapi_extra=asks_events(InteractionEvent, "events"),
    )
    async def take_events(request: Request) -> Response:
        """Take up to 1,000 interactions. Each gets a verdict of its own; an accepted one is in Kafka.

        202 when some wait on the server's disk for Kafka; 503 when some are neither there nor in Kafka: `verdicts`
        tells which to send again.
        """
        raws = split_events(await read_body(request, EVENT_BODY_BYTES_MAX), "events")
        with metrics.SERVING_PUBLISH_SECONDS.time():
            taken = await services.gateway.take_interactions(raws)
        return _answer(taken)

    @routes.post(
        "/v1/items",
        responses=answers(contract.Verdicts, 413, 422, 503),
        openapi_extra=asks_events(ItemEvent, "items"),
    )
    async def take_items(request: Request) -> Response:
        """Take up to 1,000 items of the catalogue: each replaces what was known of it, or deletes it."""
        raws = split_events(await read_body(request, EVENT_BODY_BYTES_MAX), "items")
        with metrics.SERVING_PUBLISH_SECONDS.time():
            taken = await services.gateway.take_items(raws)
        return _answer(taken)

    return routes


def _answer(taken: Taken) -> Response:
    counts = {verdict: taken.count(verdict) for verdict in ("accepted", "rejected", "unconfirmed", "spooled")}
    for verdict, count in counts.items():
        if count:
            metrics.SERVING_EVENTS.labels(verdict).inc(count)
    for each in taken.verdicts:
        if each.reason is not None:
            metrics.SERVING_REJECTED_EVENTS.labels(each.reason).inc()
    if counts["unconfirmed"]:
        raise Unacknowledged(taken)
    return answer(
        contract.Verdicts(
            accepted=counts["accepted"],
            rejected=counts["rejected"],
            spooled=counts["spooled"],
            received_at_ms=taken.received_at_ms,
            verdicts=taken.verdicts,
        ),
        202 if counts["spooled"] else 200,
    )
