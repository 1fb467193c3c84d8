"""The guard: the frame around every request. It decides who may ask, how often and how long, and counts and times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import ceil
from time import perf_counter
from typing import Final

from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra import metrics
from schemas.errors import PlatformError
from serving.adapters.keys_file import KeyRing
from serving.api.errors import Forbidden, ForeignOrigin, LimitExceeded, TookTooLong, Unauthorised, response_of
from serving.api.scopes import scope_of
from serving.api.token_buckets import Taken, TokenBuckets

COOKIE: Final = "firth_key"
_COOKIE: Final = COOKIE.encode() + b"="

HEADERS: Final = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self';"
        b" frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_UNCACHED: Final = (b"cache-control", b"no-store")
_PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
)
_OUTSIDE: Final = {"": "site", "page": "site", "healthz": "health", "readyz": "health", "metrics": "health"}

UNHURRIED: Final = frozenset({"catalogue"})
"""A feed takes as long as it is; its route sees to it that the sender does not stop."""

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who may ask. `page_key` gives the key that the page gets, None where it gets none."""

    ring: Callable[[], KeyRing] = KeyRing
    require_keys: bool = False
    page_key: Callable[[], str | None] | None = None
    allowed_origins: frozenset[bytes] = frozenset()
    requests_per_s: float = 1_000.0
    buckets: TokenBuckets = field(default_factory=lambda: TokenBuckets(2.0))
    timeout_s: float = 15.0


@dataclass(slots=True)
class _Asked:
    """What the guard looks at in a request's headers."""

    authorization: bytes = b""
    origin: bytes = b""
    host: bytes = b""
    cookie: bytes = b""
    wanted_method: bytes = b""

    @classmethod
    def of(cls, scope: Scope) -> _Asked:
        """One pass over the headers."""
        asked = cls()
        for name, value in scope["headers"]:
            if name == b"host":
                asked.host = value
            elif name == b"authorization":
                asked.authorization = value
            elif name == b"origin":
                asked.origin = value
            elif name == b"cookie":
                asked.cookie = value
            elif name == b"access-control-request-method":
                asked.wanted_method = value
        return asked

    def is_preflight(self, method: str) -> bool:
        """Whether a browser asks if its page may send a request."""
        return method == "OPTIONS" and bool(self.origin and self.wanted_method)

    def key_text(self, *, with_cookie: bool) -> bytes:
        """The key that was sent; empty without one."""
        kind, _, text = self.authorization.partition(b" ")
        if kind.lower() == b"bearer":
            return text.strip()
        if with_cookie:
            pieces = (piece.strip() for piece in self.cookie.split(b";"))
            return next((piece.removeprefix(_COOKIE) for piece in pieces if piece.startswith(_COOKIE)), b"")
        return b""


class Guard:
    """Wraps the application; refuses what it must before any of the request's body is read."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, route = perf_counter(), 0, route_of(scope["path"])
        extra: Headers = [*HEADERS] if route in ("site", "health") else [*HEADERS, _UNCACHED]

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *extra]
            await send(message)

        try:
            asked = _Asked.of(scope)
            self._screen(asked, extra)
            if asked.is_preflight(scope["method"]):
                await send_noting({"type": "http.response.start", "status": 204, "headers": [*_PREFLIGHT]})
                await send_noting({"type": "http.response.body"})
            else:
                self._admit(scope, asked, extra)
                await self._run(None if route in UNHURRIED else self._access.timeout_s, scope, receive, send_noting)
        except PlatformError as refusal:
            if status:  # half an answer is out: what is left is to break off
                raise
            await response_of(refusal)(scope, receive, send_noting)
        finally:
            _requests(route, (status or 500) // 100).inc()
            _seconds(route).observe(perf_counter() - started)

    def _screen(self, asked: _Asked, extra: Headers) -> None:
        """Raises ForeignOrigin when a page asks that may not; else lets it read the answer."""
        if not asked.origin:
            return
        extra.append((b"vary", b"origin"))
        if asked.origin.partition(b"://")[2] != asked.host and asked.origin not in self._access.allowed_origins:
            raise _counted("origin", ForeignOrigin())
        extra.append((b"access-control-allow-origin", asked.origin))

    def _admit(self, scope: Scope, asked: _Asked, extra: Headers) -> None:
        """Raises Unauthorised without a key, Forbidden without its scope, LimitExceeded when it asks too often."""
        access = self._access
        needed = scope_of(scope["method"], scope["path"]) if access.require_keys else None
        if needed is None:
            return
        key = access.ring().holder(asked.key_text(with_cookie=access.page_key is not None))
        if key is None:
            raise _counted("unauthorised", Unauthorised())
        if needed not in key.scopes:
            raise _counted("forbidden", Forbidden(needed, key.key_id))
        per_s = key.requests_per_s or access.requests_per_s
        taken = access.buckets.take(key.key_id, per_s)
        extra += _limits(taken, per_s)
        if taken.wait_s:
            raise _counted("limited", LimitExceeded(taken.wait_s))

    async def _run(self, limit_s: float | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises TookTooLong, which a slow sender of a body causes as well."""
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                await self._app(scope, receive, send)
        except TimeoutError as error:
            if limit_s is None or not limit.expired():
                raise
            raise _counted("timeout", TookTooLong(limit_s)) from error


@cache
def _requests(route: str, hundreds: int) -> Counter:
    return metrics.SERVING_REQUESTS.labels(route, f"{hundreds}xx")


@cache
def _seconds(route: str) -> Histogram:
    return metrics.SERVING_REQUEST_SECONDS.labels(route)


def _counted(reason: str, refusal: PlatformError) -> PlatformError:
    metrics.SERVING_REFUSED.labels(reason).inc()
    return refusal


def _limits(taken: Taken, per_s: float) -> Headers:
    """`RateLimit` fields: what a key may send at once, what is left of it, and the seconds until all of it is there."""
    full_s = ceil((taken.burst - taken.left) / per_s)
    return [
        (b"ratelimit-policy", b'"key";q=%d;w=%d' % (taken.burst, ceil(taken.burst / per_s))),
        (b"ratelimit", b'"key";r=%d;t=%d' % (taken.left, full_s)),
    ]


def route_of(path: str) -> str:
    """The metric's label for a path: a closed set."""
    head, _, tail = path.removeprefix("/").partition("/")
    if head == "v1":
        name = tail.partition("/")[0]
        return name if name in metrics.ROUTES else "other"
    return _OUTSIDE.get(head, "other")
