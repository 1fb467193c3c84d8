"""The route that answers with a page of rows."""

from __future__ import annotations

from time import perf_counter

import msgspec
from fastapi import APIRouter, Request, Response

from domain import slates
from infra import metrics
from serving.api.bodies import QUERY_BODY_BYTES_MAX, answer, decode_body, read_body
from serving.api.documents import answers, asks
from serving.api.page_answer import page_answer
from serving.api.queries import acts_of, filter_of
from serving.api.services import Services
from serving.api.shapes_page import Page, PageRequest

_REQUESTS = msgspec.json.Decoder(PageRequest)


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["slates"])

    @routes.post("/v1/page", responses=answers(Page, 413, 422), openapi_extra=asks(PageRequest))
    async def make_page(request: Request) -> Response:
        """Answer with a whole page for this visitor: rows by what they are worth, and no item twice."""
        started = perf_counter()
        body = decode_body(_REQUESTS, await read_body(request, QUERY_BODY_BYTES_MAX))
        made = await services.pages(_query(body, services.now_ms()), frozenset(body.rows))
        for each in made.rows:
            services.note_impression(each.slate)
        for rung in made.query.degraded:
            metrics.SERVING_DEGRADED.labels(rung).inc()
        return answer(page_answer(made, services.catalogue, started))

    return routes


def _query(body: PageRequest, now_ms: int) -> slates.Query:
    return slates.Query(
        visitor_id=body.visitor_id,
        count=body.count,
        asked_at_ms=now_ms,
        exclude=frozenset(body.exclude),
        category_cap=body.category_cap,
        filter=filter_of(body.filter),
        age=body.age,
        clicks=acts_of(body.clicks, now_ms),
        personalise=body.personalise,
    )
