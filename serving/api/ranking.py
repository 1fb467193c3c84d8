"""The routes about given items: order them for a visitor, and tell why one of them is not shown."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Request, Response

from domain import slates
from domain.explanations import explain
from domain.filters.lexer import TEXT_MAX
from domain.placements import COUNT_MAX
from domain.slates import Placement
from schemas.events import AGE_MAX, IDENTIFIER_MAX
from serving.api import contract
from serving.api.answers import explanation_answer, ranking_answer
from serving.api.bodies import QUERY_BODY_BYTES_MAX, answer, decode_body, read_body
from serving.api.direct import DirectRoute
from serving.api.documents import answers, asks
from serving.api.queries import acts_of, query_of
from serving.api.services import Services

Id = Annotated[str, Query(min_length=1, max_length=IDENTIFIER_MAX)]
Ids = Annotated[list[Id], Query(max_length=contract.AT_HAND_MAX)]
Count = Annotated[int | None, Query(ge=1, le=COUNT_MAX)]
Age = Annotated[int | None, Query(ge=0, le=AGE_MAX)]
FilterText = Annotated[str | None, Query(min_length=1, max_length=TEXT_MAX)]

_REQUESTS = msgspec.json.Decoder(contract.RankRequest)


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["slates"])
    direct = APIRouter(route_class=DirectRoute)

    @direct.post(
        "/v1/rank",
        responses=answers(contract.RankedItems, 413, 422),
        openapi_extra=asks(contract.RankRequest),
    )
    async def rank(request: Request) -> Response:
        """Order up to 500 given items for a visitor, such as the results of a search. Nothing is left out."""
        started = perf_counter()
        body = decode_body(_REQUESTS, await read_body(request, QUERY_BODY_BYTES_MAX))
        ranking = await services.rank(_query(body, services.now_ms()), body.items, body.explain)
        return answer(ranking_answer(ranking, services.catalogue, started))

    routes.include_router(direct)

    @routes.get("/v1/explain", responses=answers(contract.Explanation, 422))
    async def explain_item(
        visitor_id: Id,
        item_id: Id,
        placement: Placement = Placement.HOME,
        count: Count = None,
        context_items: Ids = [],  # noqa: B006 - FastAPI copies it
        filter: FilterText = None,  # noqa: A002 - the name that the body of a slate's query has
        category_cap: Count = None,
        age: Age = None,
        personalise: bool = True,
    ) -> Response:
        """What became of one item on its way to the slate that this query would get now; nothing is shown or logged."""
        asked = contract.RecommendationsRequest(
            visitor_id=visitor_id,
            placement=placement,
            count=count,
            context_items=tuple(context_items),
            filter=filter,
            category_cap=category_cap,
            age=age,
            personalise=personalise,
        )
        slate = await services.pipeline.run(query_of(asked, services.placements, services.now_ms()))
        return answer(explanation_answer(slate, item_id, explain(slate, item_id), services))

    return routes


def _query(body: contract.RankRequest, now_ms: int) -> slates.Query:
    return slates.Query(
        visitor_id=body.visitor_id,
        count=len(body.items),
        asked_at_ms=now_ms,
        at_hand=body.context_items,
        clicks=acts_of(body.clicks, now_ms),
        personalise=body.personalise,
    )
