"""What goes wrong."""

from __future__ import annotations

from typing import Any


class FirthError(Exception):
    """The server refused a request, or could not be reached however often it was tried.

    `status` is that of HTTP, None without an answer; `problem` is what the server said (RFC 9457).
    """

    def __init__(self, detail: str, status: int | None = None, problem: dict[str, Any] | None = None) -> None:
        self.status = status
        self.problem = problem or {}
        super().__init__(detail)

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status is None or self.status in PASSING


PASSING = frozenset({408, 429, 502, 503, 504})
