"""The routes that answer with items: recommendations, similar, trending."""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from domain import slates
from domain.placements import COUNT_MAX
from domain.slates import Candidate, Degradation, Placement, Source
from domain.unwanted import remove_unwanted
from infra import metrics
from schemas.events import AGE_MAX, IDENTIFIER_MAX
from serving.api import contract
from serving.api.answers import list_answer, slate_answer
from serving.api.bodies import QUERY_BODY_BYTES_MAX, answer, decode_body, read_body
from serving.api.direct import DirectRoute
from serving.api.documents import answers, asks
from serving.api.errors import UnknownItem
from serving.api.queries import query_of
from serving.api.services import Services
from serving.pipeline.trending import TrendWindow
from serving.pipeline.variants import best_of_variants

Count = Annotated[int, Query(ge=1, le=COUNT_MAX)]
ItemId = Annotated[str, Path(min_length=1, max_length=IDENTIFIER_MAX)]
Window = Annotated[TrendWindow, Query()]
Category = Annotated[str | None, Query(min_length=1, max_length=64)]
Age = Annotated[int | None, Query(ge=0, le=AGE_MAX)]

SPARE: Final = 50
"""Similar items beyond the count, in the place of those that must not be shown."""

_SHOWN: Final = {source: metrics.SERVING_SHOWN_ITEMS.labels(source) for source in Source}
_DEGRADED: Final = {rung: metrics.SERVING_DEGRADED.labels(rung) for rung in Degradation}
_REQUESTS = msgspec.json.Decoder(contract.RecommendationsRequest)


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["slates"])
    direct = APIRouter(route_class=DirectRoute)

    @direct.post(
        "/v1/recommendations",
        responses=answers(contract.Slate, 413, 422),
        openapi_extra=asks(contract.RecommendationsRequest),
    )
    async def recommend(request: Request) -> Response:
        """Answer with a slate for this visitor: always, if need be from a lower rung, which `degraded` names."""
        started = perf_counter()
        body = decode_body(_REQUESTS, await read_body(request, QUERY_BODY_BYTES_MAX))
        slate = await services.pipeline.run(query_of(body, services.placements, services.now_ms()))
        services.note_impression(slate)
        _measure(slate)
        return answer(slate_answer(slate, services.catalogue, body.explain, started))

    routes.include_router(direct)

    @routes.get("/v1/similar/{item_id}", responses=answers(contract.ItemList, 404, 422))
    async def similar(item_id: ItemId, count: Count = 20, age: Age = None) -> Response:
        """What goes with one item; for an item that the model does not know yet, what is trending and popular."""
        model, rules = services.model_of(), services.rules().in_force(Placement.ITEM, services.now_ms())
        near = model.similar(item_id, count + SPARE) if model else []
        if not near and services.catalogue.item(item_id) is None and (model is None or not model.knows(item_id)):
            raise UnknownItem(item_id)
        found = [Candidate(near_id, Source.SIMILAR, score) for near_id, score in near] or list(
            services.trending(TrendWindow.NOW, None, count + 1)
        )
        nobodys = slates.Query(
            visitor_id="",
            count=count,
            asked_at_ms=0,
            exclude=frozenset({item_id}),
            rules=rules,
            age=age,
            personalise=False,
        )
        kept = remove_unwanted(nobodys, found, services.catalogue).kept
        return answer(list_answer(best_of_variants(nobodys, kept, services.catalogue)[0][:count], services))

    @routes.get("/v1/trending", responses=answers(contract.ItemList, 422))
    async def trending(
        window: Window = TrendWindow.NOW, category: Category = None, count: Count = 20, age: Age = None
    ) -> Response:
        """What is above its usual level now, or acted on most in the last `day` or `week`; then what is popular."""
        rules = services.rules().in_force(Placement.HOME, services.now_ms())
        return answer(list_answer(services.trending(window, category, count, rules=rules, age=age), services))

    return routes


def _measure(slate: slates.Slate) -> None:
    for source, shown in Counter(shown.candidate.source for shown in slate.shown).items():
        _SHOWN[source].inc(shown)
    for rung in slate.query.degraded:
        _DEGRADED[rung].inc()
    as_of_ms = slate.query.visitor.features_as_of_ms
    if as_of_ms:
        metrics.SERVING_FEATURE_AGE_SECONDS.observe(max(0, slate.query.asked_at_ms - as_of_ms) / 1000)
