"""The routes that answer with items: recommendations, similar, trending."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request, Response

from domain import slates
from domain.placements import COUNT_MAX
from domain.slates import Candidate, Shown, Source, reason_of
from infra import metrics
from serving.adapters.catalogue import Catalogue
from serving.api import contract
from serving.api.bodies import QUERY_BODY_BYTES_MAX, answer, decode_body, read_body
from serving.api.documents import answers, asks
from serving.api.errors import UnknownItem
from serving.api.queries import query_of
from serving.api.services import Services

Count = Annotated[int, Query(ge=1, le=COUNT_MAX)]
ItemId = Annotated[str, Path(min_length=1, max_length=128)]

REMOVED_SHOWN_MAX: Final = 200
_REQUESTS = msgspec.json.Decoder(contract.RecommendationsRequest)


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["slates"])

    @routes.post(
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
        return answer(_slate_answer(slate, services.catalogue, body.explain, started))

    @routes.get("/v1/similar/{item_id}", responses=answers(contract.ItemList, 404, 422))
    async def similar(item_id: ItemId, count: Count = 20) -> Response:
        """What goes with one item; for an item that the model does not know yet, what is trending and popular."""
        model = services.model_of()
        near = model.similar(item_id, count) if model else []
        if not near and services.catalogue.item(item_id) is None and (model is None or not model.knows(item_id)):
            raise UnknownItem(item_id)
        found = [Candidate(near_id, Source.SIMILAR, score) for near_id, score in near] or _everybodys(services, count)
        kept = [each for each in found if each.item_id != item_id and not services.catalogue.is_deleted(each.item_id)]
        return _list_answer(kept[:count], services)

    @routes.get("/v1/trending", responses=answers(contract.ItemList, 422))
    async def trending(count: Count = 20) -> Response:
        """What is above its usual level now, then what is popular."""
        found = _everybodys(services, count)
        return _list_answer(
            [each for each in found if not services.catalogue.is_deleted(each.item_id)][:count], services
        )

    return routes


def _everybodys(services: Services, count: int) -> list[Candidate]:
    """Trending items, then popular ones that are not among them; more than `count`, so that some may be left out."""
    model = services.model_of()
    trending = services.trends.trending(2 * count)
    known = {item_id for item_id, _ in trending}
    popular = model.popular(2 * count) if model else []
    return [
        *(Candidate(item_id, Source.TRENDING, score) for item_id, score in trending),
        *(Candidate(item_id, Source.POPULAR, score) for item_id, score in popular if item_id not in known),
    ]


def _slate_answer(slate: slates.Slate, catalogue: Catalogue, explain: bool, started: float) -> contract.Slate:
    visitor = slate.query.visitor
    removed = None
    if explain:
        removed = tuple(
            contract.RemovedItem(item_id=each.candidate.item_id, source=each.candidate.source, why=each.why)
            for each in slate.removed[:REMOVED_SHOWN_MAX]
        )
    return contract.Slate(
        slate_id=slate.slate_id,
        items=tuple(_item_answer(shown, catalogue) for shown in slate.shown),
        session=contract.SessionSummary(
            items=tuple(act.item_id for act in visitor.session), length=visitor.session_length
        ),
        features_as_of_ms=visitor.features_as_of_ms,
        covered_to_ms=visitor.covered_to_ms,
        model_version=slate.model_version,
        degraded=slate.query.degraded,
        took_ms=round((perf_counter() - started) * 1000, 3),
        removed=removed,
    )


def _list_answer(found: Iterable[Candidate], services: Services) -> Response:
    model = services.model_of()
    return answer(
        contract.ItemList(
            items=tuple(_item_answer(Shown(candidate), services.catalogue) for candidate in found),
            model_version=model.version if model else "",
            degraded=services.footing.rungs(services.now_ms()),
        )
    )


def _item_answer(shown: Shown, catalogue: Catalogue) -> contract.SlateItem:
    because = None
    if shown.because is not None:
        act = shown.because
        because = contract.Because(
            item_id=act.item_id, title=catalogue.title(act.item_id), kind=act.kind, at_ms=act.at_ms
        )
    candidate = shown.candidate
    return contract.SlateItem(
        item_id=candidate.item_id,
        title=catalogue.title(candidate.item_id),
        categories=catalogue.categories(candidate.item_id),
        score=round(candidate.score, 6),
        source=candidate.source,
        reason=reason_of(shown, catalogue.title),
        because=because,
    )


def _measure(slate: slates.Slate) -> None:
    for shown in slate.shown:
        metrics.SERVING_SHOWN_ITEMS.labels(shown.candidate.source).inc()
    for rung in slate.query.degraded:
        metrics.SERVING_DEGRADED.labels(rung).inc()
    as_of_ms = slate.query.visitor.features_as_of_ms
    if as_of_ms:
        metrics.SERVING_FEATURE_AGE_SECONDS.observe(max(0, slate.query.asked_at_ms - as_of_ms) / 1000)
