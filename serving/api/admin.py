"""Who may change what everybody sees: the holder of the admin key."""

from __future__ import annotations

from hmac import compare_digest
from typing import Annotated

from fastapi import Header

from serving.api.errors import Forbidden, Unauthorised
from serving.api.services import Services

Authorization = Annotated[str | None, Header(max_length=512)]


class AdminOnly:
    """A dependency of a route: lets through who sends `Authorization: Bearer KEY`."""

    def __init__(self, services: Services) -> None:
        self._key = services.admin_key

    async def __call__(self, authorization: Authorization = None) -> None:
        """Raises Forbidden without a key in the settings, Unauthorised without the right one in the request."""
        if self._key is None:
            raise Forbidden
        scheme, _, given = (authorization or "").partition(" ")
        is_right = compare_digest(given.strip().encode(), self._key.encode())
        if scheme.lower() != "bearer" or not is_right:
            raise Unauthorised
