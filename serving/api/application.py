"""The web application over the services: routes, errors, page, and the guard around them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from infra.access_settings import LOOPBACKS
from serving.api import (
    catalogue,
    documents,
    errors,
    ingestion,
    lookups,
    onboarding,
    operations,
    pages,
    ranking,
    rules,
    search,
    slates,
)
from serving.api.guard import COOKIE, Guard
from serving.api.services import Services

PAGE: Final = Path(__file__).resolve().parent.parent / "page"
CLIENT: Final = Path(__file__).resolve().parents[2] / "clients" / "javascript"

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build(services: Services, lifespan: Lifespan | None = None) -> FastAPI:
    """The application. `lifespan` starts and stops what the services stand on."""
    app = FastAPI(
        title="Firth",
        version="1",
        description="Real-time, session-based recommendations: events in, slates out.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    for routes in (slates, pages, ranking, search, onboarding, rules, ingestion, catalogue, lookups, operations):
        app.include_router(routes.router(services))
    errors.install(app)
    documents.install(app)
    app.mount("/page/client", StaticFiles(directory=CLIENT), name="client")
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> FileResponse:
        response = FileResponse(PAGE / "index.html")
        key = services.access.page_key() if services.access.page_key else None
        if key and request.url.hostname in LOOPBACKS:  # by another name a foreign site may have led here
            response.set_cookie(COOKIE, key, path="/v1", httponly=True, samesite="strict")
            response.headers["Cache-Control"] = "no-store"
        return response

    app.add_middleware(Guard, access=services.access)
    return app
