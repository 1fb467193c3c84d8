"""The thin reader of Feast's Redis: both speed views of a visitor in one HMGET, decoded without Feast.

Feast keeps all views of an entity in one hash, so the fields of `visitor_session` and `visitor_recent` come together.
"""

from __future__ import annotations

import asyncio

import hiredis

from feature_repo.layout import EntityKeys, ViewLayout
from feature_repo.views import VISITOR_RECENT, VISITOR_SESSION
from infra.settings import RedisSettings
from serving.adapters.breaker import Breaker
from serving.adapters.redis_link import RedisLink, joined
from serving.pipeline.hydrate import Columns, SpeedRows


class _Question:
    """An HMGET of some columns of both views: what to send around the key, and how to read the answer."""

    def __init__(self, columns: Columns | None = None) -> None:
        session, recent = VISITOR_SESSION.layout(), VISITOR_RECENT.layout()
        if columns is not None:
            session, recent = _part(session, columns.session), _part(recent, columns.recent)
        self._layouts = (session, recent)
        fields = (*session.fields, *recent.fields)
        self.head = b"*%d\r\n" % (2 + len(fields)) + joined([b"HMGET"])
        self.tail = joined(fields)

    def rows(self, raws: list[bytes | None]) -> SpeedRows:
        """Both rows from the answer."""
        session, recent = self._layouts
        border = len(session.fields)
        return SpeedRows(session.decode(raws[:border]), recent.decode(raws[border:]))


class RedisFeatures:
    """`SpeedFeatures` from Feast's online store."""

    def __init__(self, settings: RedisSettings, project: str, deadline_ms: int) -> None:
        self._link = RedisLink(settings.host, settings.port)
        self._deadline_s = deadline_ms / 1000
        self._keys = EntityKeys(project, VISITOR_SESSION.join_key)
        self._all = _Question()
        self._some: dict[Columns, _Question] = {}
        self.breaker = Breaker(f"redis {settings.host}:{settings.port}", "see `python -m infra status`")

    async def read(self, visitor_id: str, columns: Columns | None = None) -> SpeedRows:
        """See `SpeedFeatures.read`."""
        question = self._all if columns is None else self._question(columns)
        command = question.head + joined([self._keys.key(visitor_id)]) + question.tail
        self.breaker.admit()
        try:
            async with asyncio.timeout(self._deadline_s):
                raws: list[bytes | None] = await self._link.ask(command)
        except (hiredis.HiredisError, OSError, TimeoutError) as error:
            raise self.breaker.fail(error) from error
        self.breaker.succeed()
        return question.rows(raws)

    async def close(self) -> None:
        """Close the connections."""
        await self._link.close()

    def _question(self, columns: Columns) -> _Question:
        question = self._some.get(columns)
        if question is None:
            question = self._some[columns] = _Question(columns)
        return question


def _part(layout: ViewLayout, names: frozenset[str]) -> ViewLayout:
    return ViewLayout(layout.view, [(name, kind) for name, kind in layout.types.items() if name in names])
