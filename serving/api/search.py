"""The route that finds items by title."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated

from fastapi import APIRouter, Query, Response

from domain import slates
from domain.filters.lexer import TEXT_MAX
from domain.placements import COUNT_MAX
from domain.slates import Placement
from schemas.events import AGE_MAX, IDENTIFIER_MAX
from serving.adapters.title_index import words_of
from serving.api.answers import found_answer
from serving.api.bodies import answer
from serving.api.documents import answers
from serving.api.errors import InvalidField
from serving.api.queries import filter_of
from serving.api.services import Services
from serving.api.shapes_search import FoundItems

Text = Annotated[str, Query(min_length=1, max_length=200)]
Visitor = Annotated[str | None, Query(min_length=1, max_length=IDENTIFIER_MAX)]
Count = Annotated[int, Query(ge=1, le=COUNT_MAX)]
FilterText = Annotated[str | None, Query(min_length=1, max_length=TEXT_MAX)]
Age = Annotated[int | None, Query(ge=0, le=AGE_MAX)]


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["slates"])

    @routes.get("/v1/search", responses=answers(FoundItems, 422))
    async def search(
        q: Text,
        visitor_id: Visitor = None,
        count: Count = 20,
        filter: FilterText = None,  # noqa: A002 - the name that the body of a slate's query has
        age: Age = None,
    ) -> Response:
        """Items whose title has, for every word of `q`, a word that begins with it; for a visitor, in their order."""
        started, now_ms = perf_counter(), services.now_ms()
        words = words_of(q)
        if not words:
            raise InvalidField("q", "it has no word", "send letters or digits")
        query = slates.Query(
            visitor_id=visitor_id or "",
            count=count,
            asked_at_ms=now_ms,
            filter=filter_of(filter),
            rules=services.rules().in_force(Placement.HOME, now_ms),
            age=age,
            personalise=visitor_id is not None,
        )
        return answer(found_answer(await services.search(query, words), services.catalogue, started))

    return routes
