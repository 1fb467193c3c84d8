"""Hydrate: read what is known of the visitor, from both layers at once, and note what is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from domain.merge import Cells, merge_cells, stream_columns
from domain.own_clicks import with_clicks
from domain.policies import SessionPolicy
from domain.slates import NOBODY, Act, Degradation, Placement, Query, Visitor, recognise
from schemas.errors import ConsistencyError, DependencyError, PlatformError

RECOGNISED_BY: Final = frozenset({"seen_items"})
"""The features of the profile that `recognise` reads: to merge the others costs ten times as much."""


SESSION_COLUMNS: Final = frozenset(
    {
        "session_items", "session_items_kinds", "session_items_at_ms", "session_last_at_ms", "session_length",
        "session_cart_items",
    }
)  # fmt: skip
"""The columns of the session that `recognise` reads."""


class Columns(NamedTuple):
    """Of both rows of the stream, the columns that somebody needs."""

    session: frozenset[str]
    recent: frozenset[str]


NEEDED: Final = Columns(SESSION_COLUMNS, stream_columns("visitor", RECOGNISED_BY))
"""What a slate is made of: a row has ten times as many."""


@dataclass(frozen=True, slots=True)
class SpeedRows:
    """What the stream wrote of a visitor; None where it has no row."""

    session: Cells | None = None
    recent: Cells | None = None


class SpeedFeatures(Protocol):
    """The hot store: rows of `visitor_session` and `visitor_recent`."""

    async def read(self, visitor_id: str, columns: Columns | None = None) -> SpeedRows:
        """Both rows in one trip, with `columns` no more than these. Raises DependencyError when the store is late."""
        ...


class BatchFeatures(Protocol):
    """The bulky store: rows of `visitor_history`."""

    def is_at_hand(self, visitor_id: str) -> bool:
        """Whether `read` would answer without waiting."""
        ...

    async def read(self, visitor_id: str) -> Cells | None:
        """The row, None when there is none. Raises DependencyError when the store does not answer in time."""
        ...


@dataclass(frozen=True, slots=True)
class VisitorRows:
    """All that the stores have of one visitor, the merge of it, and what could not be read."""

    speed: SpeedRows
    history: Cells | None
    profile: dict[str, Any]
    degraded: tuple[Degradation, ...]


class Hydrate:
    """Fills a query with its visitor. Never fails: what is away, or holds bytes that are not ours, is in `degraded`."""

    def __init__(
        self,
        speed: SpeedFeatures,
        batch: BatchFeatures,
        policy: SessionPolicy,
        on_failure: Callable[[PlatformError], None] = lambda error: None,
    ) -> None:
        self._speed = speed
        self._batch = batch
        self._policy = policy
        self._on_failure = on_failure

    async def __call__(self, query: Query) -> Query:
        """The query with its visitor; nobody when it must not be personal."""
        if not query.personalise:
            return replace(query, visitor=_at_hand(query, NOBODY))
        rows = await self.rows(query.visitor_id, RECOGNISED_BY)
        stored = recognise(rows.speed.session, rows.profile, query.asked_at_ms, self._policy)
        visitor = with_clicks(stored, query.clicks, query.asked_at_ms, self._policy)
        return replace(query, visitor=_at_hand(query, visitor), degraded=(*query.degraded, *rows.degraded))

    async def rows(self, visitor_id: str, only: Collection[str] | None = None) -> VisitorRows:
        """What both stores have, read side by side; with `only`, no more than what these of the profile need."""
        columns = None if only is None else NEEDED
        if self._batch.is_at_hand(visitor_id):
            history = await self._read_batch(visitor_id)
            speed = await self._read_speed(visitor_id, columns)
        else:
            speed, history = await asyncio.gather(self._read_speed(visitor_id, columns), self._read_batch(visitor_id))
        degraded: list[Degradation] = []
        if isinstance(speed, Degradation):
            degraded.append(speed)
            speed = SpeedRows()
        if isinstance(history, Degradation):
            degraded.append(history)
            history = None
        profile = merge_cells("visitor", history, speed.recent, only)
        if profile["history_gap"]:
            degraded.append(Degradation.HISTORY_GAP)
        return VisitorRows(speed, history, profile, tuple(degraded))

    async def _read_speed(self, visitor_id: str, columns: Columns | None) -> SpeedRows | Degradation:
        try:
            return await self._speed.read(visitor_id, columns)
        except (DependencyError, ConsistencyError) as error:
            self._on_failure(error)
            return Degradation.NO_SPEED_FEATURES

    async def _read_batch(self, visitor_id: str) -> Cells | Degradation | None:
        try:
            return await self._batch.read(visitor_id)
        except (DependencyError, ConsistencyError) as error:
            self._on_failure(error)
            return Degradation.NO_HISTORY


def _at_hand(query: Query, visitor: Visitor) -> Visitor:
    """The visitor with what stands before them: what the query names, or else, in the cart, what they put there."""
    items = query.at_hand or (visitor.cart if query.placement is Placement.CART else ())
    kind = "cart" if query.placement is Placement.CART else "view"
    acts = tuple(Act(item_id, kind, query.asked_at_ms) for item_id in items)
    return replace(visitor, at_hand=acts) if acts else visitor
