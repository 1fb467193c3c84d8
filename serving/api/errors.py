"""How errors become answers: one table, from the platform's errors to HTTP, as problem details (RFC 9457)."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from domain.filters import FilterError
from domain.rules import RuleError
from schemas.errors import (
    ConfigurationError,
    ConsistencyError,
    ContractError,
    DependencyError,
    PlatformError,
    RejectedEvent,
)
from serving.adapters.gateway import Taken
from serving.adapters.rule_book import RuleConflict
from serving.api.contract import Problem

RETRY_AFTER_S: Final = 1
_PART: Final = re.compile(r"{[^}]+}")
log = logging.getLogger(__name__)


class BodyTooLarge(ContractError):
    """A request body is larger than the route takes."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: send less at a time")


class InvalidField(ContractError):
    """A field of the request is wrong, by itself or beside the others."""

    def __init__(self, field: str, problem: str | FilterError, remedy: str = "") -> None:
        self.field = field
        self.problem = problem if isinstance(problem, str) else problem.problem
        self.remedy = remedy if isinstance(problem, str) else problem.remedy
        self.position = None if isinstance(problem, str) else problem.position
        super().__init__(f"{field}: {self.problem}{'; ' if self.remedy else ''}{self.remedy}")


class Unauthorised(ContractError):
    """The request carries no key, or one that is none (any more)."""

    def __init__(self) -> None:
        super().__init__("send a key: `Authorization: Bearer KEY`; `python -m serving keys create` makes one")


class Forbidden(ContractError):
    """The key is good, but not for this."""

    def __init__(self, scope: str, key_id: str) -> None:
        super().__init__(f"key {key_id} has not the scope {scope}: send one that has")


class ForeignOrigin(ContractError):
    """A page of another origin asks, which the server does not expect."""

    def __init__(self) -> None:
        super().__init__("pages of this origin may not ask: name it in FIRTH_SERVING__ACCESS__ALLOWED_ORIGINS")


class LimitExceeded(ContractError):
    """A key asks more often than it may."""

    def __init__(self, wait_s: float) -> None:
        self.wait_s = wait_s
        super().__init__(f"this key has asked too often: wait {wait_s:.3f} s")


class TookTooLong(DependencyError):
    """A request was not read, or not answered, in time."""

    def __init__(self, limit_s: float) -> None:
        super().__init__("the request", f"was not done within {limit_s:g} s", "send it again, or less at a time")


class UnknownRule(ContractError):
    """There is no rule of this name."""

    def __init__(self, rule_id: str) -> None:
        super().__init__(f"no rule {rule_id!r}: GET /v1/rules lists them")


class UnknownItem(ContractError):
    """Neither the catalogue nor the model has heard of the item."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"item {item_id!r} is unknown: publish it with POST /v1/items")


class Unacknowledged(DependencyError):
    """Kafka did not acknowledge every event of a request."""

    def __init__(self, taken: Taken) -> None:
        self.taken = taken
        missing = taken.count("unconfirmed")
        super().__init__("kafka", f"{missing} of {len(taken.verdicts)} events are unconfirmed", "send these again")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an error is over HTTP."""

    status: int
    title: str
    slug: str


MEANINGS: Final[dict[type[PlatformError], Meaning]] = {
    BodyTooLarge: Meaning(413, "The request is too large", "too-large"),
    InvalidField: Meaning(422, "The request breaks the contract", "contract"),
    RuleError: Meaning(422, "The request breaks the contract", "contract"),
    RuleConflict: Meaning(409, "The rules are not as the request expects", "conflict"),
    Unauthorised: Meaning(401, "The key is missing or wrong", "unauthorised"),
    Forbidden: Meaning(403, "The key is not good for this", "forbidden"),
    ForeignOrigin: Meaning(403, "Pages of this origin may not ask", "origin"),
    LimitExceeded: Meaning(429, "Too many requests", "limited"),
    UnknownRule: Meaning(404, "The rule is unknown", "unknown-rule"),
    UnknownItem: Meaning(404, "The item is unknown", "unknown-item"),
    ContractError: Meaning(422, "The request breaks the contract", "contract"),
    DependencyError: Meaning(503, "Something that this needs is away", "dependency"),
    ConsistencyError: Meaning(500, "Our own pieces disagree", "consistency"),
    ConfigurationError: Meaning(500, "The server is configured wrongly", "configuration"),
    PlatformError: Meaning(500, "Something went wrong", "internal"),
}


def meaning_of(error: PlatformError) -> Meaning:
    """The row of the nearest kind in the table."""
    return next(MEANINGS[kind] for kind in type(error).__mro__ if kind in MEANINGS)


def problem_of(error: PlatformError) -> Problem:
    """The problem details of an error."""
    meaning = meaning_of(error)
    kind, title, status = f"urn:firth:problem:{meaning.slug}", meaning.title, meaning.status
    match error:
        case RejectedEvent():
            return Problem(
                type=kind, title=title, status=status, detail=error.detail, field=error.field, reason=str(error.reason)
            )
        case InvalidField() | RuleError():
            return Problem(
                type=kind,
                title=title,
                status=status,
                detail=str(error),
                field=error.field,
                position=error.position,
                remedy=error.remedy,
            )
        case Unacknowledged():
            return Problem(type=kind, title=title, status=status, detail=str(error), verdicts=error.taken.verdicts)
        case _:
            return Problem(type=kind, title=title, status=status, detail=str(error))


def install(app: FastAPI) -> None:
    """Answer every error of the app with problem details."""
    app.add_exception_handler(PlatformError, _platform_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(Exception, _unexpected)


def response_of(error: PlatformError) -> Response:
    """The answer to an error; one that is ours to mend is logged, without what the visitor is called."""
    problem = problem_of(error)
    if problem.status >= 500:
        log.warning("request.failed", extra={"status": problem.status, "problem": str(error)})
    response = _answer(problem)
    if isinstance(error, LimitExceeded):
        response.headers["Retry-After"] = str(ceil(error.wait_s))
    return response


async def _platform_error(_: Request, error: Any) -> Response:
    return response_of(error)


async def _http_error(request: Request, error: Any) -> Response:
    problem = Problem(type="about:blank", title=error.detail, status=error.status_code, detail=request.url.path)
    response = _answer(problem)
    if error.status_code == 405:
        response.headers["Allow"] = _methods_at(request) or "GET"
    return response


def _methods_at(request: Request) -> str:
    """The methods of the path as the document has them; the framework names those of the first route only."""
    paths: dict[str, dict[str, Any]] = request.app.openapi()["paths"]
    path = request.url.path
    alike = (each for pattern, each in paths.items() if re.fullmatch(_PART.sub("[^/]+", pattern), path))
    return ", ".join(sorted(method.upper() for method in paths.get(path) or next(alike, {})))


async def _invalid_parameter(_: Request, error: Any) -> Response:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    meaning = MEANINGS[ContractError]
    return _answer(
        Problem(
            type=f"urn:firth:problem:{meaning.slug}",
            title=meaning.title,
            status=meaning.status,
            detail=first["msg"],
            field=field,
        )
    )


async def _unexpected(request: Request, error: Any) -> Response:
    route = getattr(request.scope.get("route"), "path", "none")  # its pattern: a path may name a visitor
    log.error("request.crashed", extra={"route": route}, exc_info=error)
    meaning = MEANINGS[PlatformError]
    return _answer(
        Problem(type="about:blank", title=meaning.title, status=meaning.status, detail="see the server's log")
    )


def _answer(problem: Problem) -> Response:
    headers = {503: {"Retry-After": str(RETRY_AFTER_S)}, 401: {"WWW-Authenticate": "Bearer"}}.get(problem.status, {})
    return Response(
        msgspec.json.encode(problem), problem.status, headers=headers, media_type="application/problem+json"
    )
