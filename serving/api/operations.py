"""The routes for operators: alive, ready, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra import metrics
from serving.api import contract
from serving.api.bodies import answer
from serving.api.documents import answers
from serving.api.services import Services


def router(services: Services) -> APIRouter:
    """The routes over these services."""
    routes = APIRouter(tags=["operations"])
    shown = metrics.registry_of("serving")

    @routes.get("/healthz", responses=answers(contract.Health))
    async def health() -> Response:
        """The process is alive."""
        return answer(contract.Health())

    @routes.get("/readyz", responses=answers(contract.Readiness))
    async def ready() -> Response:
        """What this server can use right now; 503 while it starts or stops and should get no visitors."""
        readiness = services.readiness()
        return answer(readiness, 200 if readiness.ready else 503)

    @routes.get("/metrics", response_class=Response)
    async def scrape() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(generate_latest(shown), media_type=CONTENT_TYPE_LATEST)

    return routes
