"""The thin reader of Feast's Redis: both speed views of a visitor in one HMGET, decoded without Feast.

Feast keeps all views of an entity in one hash, so the fields of `visitor_session` and `visitor_recent` come together.
"""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_RECENT, VISITOR_SESSION
from infra.settings import RedisSettings
from serving.adapters.breaker import Breaker
from serving.pipeline.hydrate import SpeedRows


class RedisFeatures:
    """`SpeedFeatures` from Feast's online store."""

    def __init__(self, settings: RedisSettings, project: str, deadline_ms: int) -> None:
        once_more = Retry(NoBackoff(), 1)  # a pooled connection may have died unnoticed
        self._redis = Redis(host=settings.host, port=settings.port, retry=once_more)
        self._deadline_s = deadline_ms / 1000
        self._keys = EntityKeys(project, VISITOR_SESSION.join_key)
        self._session = VISITOR_SESSION.layout()
        self._recent = VISITOR_RECENT.layout()
        self._fields = (*self._session.fields, *self._recent.fields)
        self.breaker = Breaker(f"redis {settings.host}:{settings.port}", "see `python -m infra status`")

    async def read(self, visitor_id: str) -> SpeedRows:
        """See `SpeedFeatures.read`."""
        self.breaker.admit()
        try:
            async with asyncio.timeout(self._deadline_s):
                raws: list[bytes | None] = await self._redis.execute_command(
                    "HMGET", self._keys.key(visitor_id), *self._fields
                )
        except (RedisError, OSError, TimeoutError) as error:
            raise self.breaker.fail(error) from error
        self.breaker.succeed()
        border = len(self._session.fields)
        return SpeedRows(self._session.decode(raws[:border]), self._recent.decode(raws[border:]))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()
