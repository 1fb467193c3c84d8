"""The thin reader of Feast's Redis: both speed views of a visitor in one HMGET, decoded without Feast.

Feast keeps all views of an entity in one hash, so the fields of `visitor_session` and `visitor_recent` come together.
"""

from __future__ import annotations

import asyncio

import hiredis

from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_RECENT, VISITOR_SESSION
from infra.settings import RedisSettings
from serving.adapters.breaker import Breaker
from serving.adapters.redis_link import RedisLink, joined
from serving.pipeline.hydrate import SpeedRows


class RedisFeatures:
    """`SpeedFeatures` from Feast's online store."""

    def __init__(self, settings: RedisSettings, project: str, deadline_ms: int) -> None:
        self._link = RedisLink(settings.host, settings.port)
        self._deadline_s = deadline_ms / 1000
        self._keys = EntityKeys(project, VISITOR_SESSION.join_key)
        self._session = VISITOR_SESSION.layout()
        self._recent = VISITOR_RECENT.layout()
        fields = (*self._session.fields, *self._recent.fields)
        self._head = b"*%d\r\n" % (2 + len(fields)) + joined([b"HMGET"])
        self._tail = joined(fields)
        self.breaker = Breaker(f"redis {settings.host}:{settings.port}", "see `python -m infra status`")

    async def read(self, visitor_id: str) -> SpeedRows:
        """See `SpeedFeatures.read`."""
        self.breaker.admit()
        try:
            async with asyncio.timeout(self._deadline_s):
                key = joined([self._keys.key(visitor_id)])
                raws: list[bytes | None] = await self._link.ask(self._head + key + self._tail)
        except (hiredis.HiredisError, OSError, TimeoutError) as error:
            raise self.breaker.fail(error) from error
        self.breaker.succeed()
        border = len(self._session.fields)
        return SpeedRows(self._session.decode(raws[:border]), self._recent.decode(raws[border:]))

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()
