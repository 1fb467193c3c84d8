"""OpenAPI for routes whose bodies are msgspec types: the schemas come from the same types that decode and encode."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from schemas.events import InteractionEvent, ItemEvent
from schemas.rules import RuleEvent, RuleTerms
from serving.adapters.reconciliation import Reconciled
from serving.api import contract, shapes_catalogue, shapes_onboarding, shapes_page, shapes_search
from serving.api.examples import EXAMPLES
from serving.api.scopes import scope_of

_REFERENCE: Final = "#/components/schemas/{name}"
DOCUMENTED: Final = (
    InteractionEvent,
    ItemEvent,
    contract.RecommendationsRequest,
    contract.Slate,
    contract.RankRequest,
    contract.RankedItems,
    contract.Explanation,
    RuleTerms,
    RuleEvent,
    contract.Rules,
    Reconciled,
    shapes_catalogue.KnownItem,
    shapes_onboarding.OnboardingRequest,
    shapes_onboarding.Onboarded,
    shapes_onboarding.OnboardingChoices,
    shapes_page.PageRequest,
    shapes_page.Page,
    shapes_search.FoundItems,
    contract.PreviewRequest,
    contract.Preview,
    contract.ItemList,
    contract.Verdicts,
    contract.VisitorFeatures,
    contract.Readiness,
    contract.Health,
    contract.Problem,
)


def answers(shape: type | None, *problems: int, also: int | None = None) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: its shape, None for an empty 204, and problem details with these statuses.

    `also`: another status with the same shape.
    """
    described: dict[int | str, dict[str, Any]] = {}
    if shape is not None:
        described |= {each: _content(_to(shape), "application/json", "OK") for each in (200, also) if each is not None}
    for status in problems:
        described[status] = _content(_to(contract.Problem), "application/problem+json", _TITLES[status])
    return described


def asks(shape: type) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes this body."""
    return {"requestBody": {"required": True, **_content(_to(shape), "application/json", "")}}


def asks_events(shape: type, name: str) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a batch of events, bare or under `name`."""
    several = {"type": "array", "items": _to(shape), "maxItems": 1_000}
    wrapped = {"type": "object", "required": [name], "properties": {name: several}, "additionalProperties": False}
    body = {"anyOf": [wrapped, several]}
    return {"requestBody": {"required": True, **_content(body, "application/json", "")}}


def asks_lines(shape: type) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes one object a line."""
    return {"requestBody": {"required": True, **_content(_to(shape), "application/x-ndjson", "")}}


def asks_patch(shape: type) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes any fields of an object, to merge them into it (RFC 7396)."""
    body = {"type": "object", "description": f"fields of {shape.__name__}; null takes one away"}
    return {"requestBody": {"required": True, **_content(body, "application/merge-patch+json", "")}}


def install(app: FastAPI) -> None:
    """Serve the document at /openapi.json; made once."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, components = msgspec.json.schema_components(DOCUMENTED, ref_template=_REFERENCE)
            for name, example in EXAMPLES.items():
                components[name]["examples"] = [example]
            made.setdefault("components", {}).setdefault("schemas", {}).update(components)
            _tell_scopes(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _tell_scopes(document: dict[str, Any]) -> None:
    """Say which scope each route asks for, and what it answers to a request that the guard refuses."""
    document["components"]["securitySchemes"] = {
        "key": {"type": "http", "scheme": "bearer", "description": "A key of the scope that the route names."}
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            scope = scope_of(method.upper(), path)
            if scope is not None:
                operation["security"] = [{"key": []}]
                told = operation.get("description", "")
                operation["description"] = f"{told}\n\nAsks for a key with the scope `{scope}`.".strip()
                refusals = {str(status): answer for status, answer in answers(None, 401, 403, 429, 503).items()}
                operation["responses"] = refusals | operation["responses"]


_TITLES: Final = {
    401: "The key is missing or wrong",
    403: "The key is not good for this",
    404: "Unknown",
    408: "The sender has stopped before the end",
    409: "Not as the request expects",
    413: "Too large",
    422: "Breaks the contract",
    429: "The key has asked too often",
    503: "Try again later",
}


def _to(shape: type) -> dict[str, Any]:
    return {"$ref": _REFERENCE.format(name=shape.__name__)}


def _content(schema: dict[str, Any], media_type: str, description: str) -> dict[str, Any]:
    content: dict[str, Any] = {"content": {media_type: {"schema": schema}}}
    return {"description": description, **content} if description else content
