"""The web application over the services: routes, errors, page, and one measurement of every request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from time import perf_counter
from typing import Final

from fastapi import FastAPI
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra import metrics
from serving.api import documents, errors, ingestion, lookups, operations, ranking, rules, slates
from serving.api.services import Services

PAGE: Final = Path(__file__).resolve().parent.parent / "page"
HEADERS: Final = (
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)

_OUTSIDE: Final = {"": "page", "page": "page", "healthz": "health", "readyz": "health", "metrics": "health"}

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
    for routes in (slates, ranking, rules, ingestion, lookups, operations):
        app.include_router(routes.router(services))
    errors.install(app)
    documents.install(app)
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.add_middleware(_Measured)
    return app


class _Measured:
    """Counts and times requests by route, and adds the headers that every answer has."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        status = 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            route = _route_of(scope)
            metrics.SERVING_REQUESTS.labels(route, f"{status // 100}xx").inc()
            metrics.SERVING_REQUEST_SECONDS.labels(route).observe(perf_counter() - started)


def _route_of(scope: Scope) -> str:
    """The metric's label for a path: a closed set."""
    head, _, tail = scope["path"].removeprefix("/").partition("/")
    if head == "v1":
        route = tail.partition("/")[0]
        return route if route in metrics.ROUTES else "other"
    return _OUTSIDE.get(head, "other")
