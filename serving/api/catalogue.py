"""The routes of the catalogue's keeper: a whole feed, and single items."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from starlette.requests import ClientDisconnect

from domain.onboarding import named_category
from schemas.events import EVENT_BYTES_MAX, IDENTIFIER_MAX, ItemEvent
from serving.adapters.reconciliation import Reconciled
from serving.api.bodies import answer, decode_body, read_body
from serving.api.documents import answers, asks_lines, asks_patch
from serving.api.errors import UnknownItem
from serving.api.feeds import lines_of
from serving.api.services import Services
from serving.api.shapes_catalogue import KnownItem

ItemId = Annotated[str, Path(min_length=1, max_length=IDENTIFIER_MAX)]
Share = Annotated[float, Query(ge=0, le=1)]

_PATCHES = msgspec.json.Decoder(dict[str, Any])


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["catalogue"])

    @routes.put(
        "/v1/catalogue",
        responses=answers(Reconciled, 408, 413, 503, 422),
        openapi_extra=asks_lines(ItemEvent),
    )
    async def put_catalogue(request: Request, dry_run: bool = False, removals_share_max: Share = 0.2) -> Response:
        """Make the catalogue what this feed says: an item a line (JSONL). Answers with every kind of difference.

        Items that it does not name are removed at its end, unless they are a larger share of the catalogue than
        `removals_share_max`: then the feed was probably cut off. With `dry_run` nothing is changed. Sending a feed
        again is safe.
        """
        try:
            done = await services.catalogue_desk.reconcile(
                lines_of(request), removals_share_max=removals_share_max, dry_run=dry_run
            )
        except (TimeoutError, ClientDisconnect) as error:
            raise HTTPException(
                408, "The feed has stopped before its end: nothing was removed, send it again"
            ) from error
        return answer(done)

    @routes.get("/v1/items/{item_id}", responses=answers(KnownItem, 404, 422))
    async def read_item(item_id: ItemId) -> Response:
        """What is known of an item: the catalogue's word on it, and whether the model has learnt of it."""
        item, model = services.catalogue.item(item_id), services.model_of()
        in_model = model is not None and model.knows(item_id)
        if item is None and not in_model and named_category(item_id) is None:
            raise UnknownItem(item_id)
        is_listed = item is not None and not item.deleted
        return answer(
            KnownItem(
                item_id=item_id,
                in_catalogue=is_listed,
                in_model=in_model,
                counts_as=services.catalogue.group_of(item_id),
                item=item if is_listed else None,
            )
        )

    @routes.patch(
        "/v1/items/{item_id}",
        responses=answers(ItemEvent, 413, 503, 422),
        openapi_extra=asks_patch(ItemEvent),
    )
    async def patch_item(item_id: ItemId, request: Request) -> Response:
        """Change fields of an item (JSON merge patch): `{"hidden": true}` hides it, `{"in_stock": false}` rests it.

        Effective on every server within two seconds.
        """
        changes = decode_body(_PATCHES, await read_body(request, EVENT_BYTES_MAX))
        return answer(await services.catalogue_desk.patch(item_id, changes))

    @routes.delete("/v1/items/{item_id}", status_code=204, responses=answers(None, 503, 422))
    async def delete_item(item_id: ItemId) -> Response:
        """Say that an item is gone. Effective on every server within two seconds."""
        await services.catalogue_desk.delete(item_id)
        return Response(status_code=204)

    return routes
