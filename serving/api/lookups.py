"""The route that looks up a visitor's features."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from domain.merge import Cells
from domain.slates import recognise
from serving.api import contract
from serving.api.bodies import answer
from serving.api.documents import answers
from serving.api.services import Services

VisitorId = Annotated[str, Path(min_length=1, max_length=128)]


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["look-ups"])

    @routes.get("/v1/visitors/{visitor_id}", responses=answers(contract.VisitorFeatures, 422))
    async def visitor(visitor_id: VisitorId) -> Response:
        """What is known of a visitor: the rows as the stores have them, and their exact merge."""
        rows = await services.hydrate.rows(visitor_id)
        now_ms = services.now_ms()
        known = recognise(rows.speed.session, rows.profile, now_ms, services.session_policy)
        items = {act.item_id for act in (*known.session, *known.past)}
        if rows.speed.session is not None:
            items |= {*rows.speed.session["session_items"], *rows.speed.session["session_cart_items"]}
        return answer(
            contract.VisitorFeatures(
                visitor_id=visitor_id,
                session=_plain(rows.speed.session),
                session_is_current=bool(known.session),
                recent=_plain(rows.speed.recent),
                history=_plain(rows.history),
                profile=rows.profile,
                features_as_of_ms=known.features_as_of_ms,
                covered_to_ms=known.covered_to_ms,
                age_ms=now_ms - known.features_as_of_ms if known.features_as_of_ms else None,
                now_ms=now_ms,
                titles={item_id: services.catalogue.title(item_id) for item_id in sorted(items)},
                unknown_items=tuple(sorted(filter(services.catalogue.is_unknown, items))),
                degraded=(*services.footing.speed_rungs(now_ms), *rows.degraded),
            )
        )

    return routes


def _plain(cells: Cells | None) -> dict[str, Any] | None:
    return dict(cells) if cells is not None else None
