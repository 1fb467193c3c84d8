"""Which scope a route asks for: one table, read by the guard and by the OpenAPI document."""

from __future__ import annotations

from typing import Final

from serving.adapters.keys_file import Scope

PRODUCED: Final = frozenset({"events", "onboarding"})
ASKED: Final = frozenset({"recommendations", "rank", "explain", "similar", "trending", "page", "search"})
READ: Final = frozenset({"items", "visitors"})
_READING: Final = frozenset({"GET", "HEAD"})


def scope_of(method: str, path: str) -> Scope | None:
    """The scope for a request; None for the page, the document and what operators look at.

    A route under /v1 that no line here names is for administrators.
    """
    head, _, tail = path.removeprefix("/").partition("/")
    if head != "v1":
        return None
    name = tail.partition("/")[0]
    if name in ASKED or (name in READ and method in _READING):
        return Scope.CONSUME
    return Scope.PRODUCE if name in PRODUCED else Scope.ADMIN
