"""The guard asks for the scope of every route; nothing is left to do here."""

from __future__ import annotations

from serving.api.services import Services


class AdminOnly:
    """A dependency that lets everybody through whom the guard has let through."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def __call__(self) -> None:
        """Nothing."""
