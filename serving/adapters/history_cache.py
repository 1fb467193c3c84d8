"""A bounded cache of batch rows: they change once a day, so a request almost never waits for the bulky store.

A row that is older than its time to live is served while it is read again, because the merge with the stream is exact
whatever the row's cutoff; a reader waits only for a visitor that is not in the cache at all.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Final

from domain.merge import Cells
from schemas.errors import DependencyError, PlatformError
from serving.pipeline.hydrate import BatchFeatures

FRESH_S: Final = 30.0
LOADS_MAX: Final = 256
"""Reads of the store in flight at once; a miss beyond them is answered without history."""

Entry = tuple[float, Cells | None]
"""(when it was read, the row or None where the store has none)"""


class HistoryCache:
    """`BatchFeatures` in front of `BatchFeatures`."""

    def __init__(
        self, store: BatchFeatures, rows_max: int, deadline_ms: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._store = store
        self._rows_max = rows_max
        self._deadline_s = deadline_ms / 1000
        self._clock = clock
        self._rows: OrderedDict[str, Entry] = OrderedDict()
        self._loads: dict[str, asyncio.Task[Cells | None]] = {}
        self._expired_at = float("-inf")

    def is_at_hand(self, visitor_id: str) -> bool:
        """See `BatchFeatures.is_at_hand`."""
        return visitor_id in self._rows

    async def read(self, visitor_id: str) -> Cells | None:
        """See `BatchFeatures.read`."""
        entry = self._rows.get(visitor_id)
        if entry is None:
            return await self._wait_for(visitor_id)
        self._rows.move_to_end(visitor_id)
        if entry[0] <= max(self._expired_at, self._clock() - FRESH_S):
            self._load(visitor_id)
        return entry[1]

    def expire(self) -> None:
        """Read every row again when it is next asked for: the batch layer has published."""
        self._expired_at = self._clock()

    def __len__(self) -> int:
        return len(self._rows)

    async def _wait_for(self, visitor_id: str) -> Cells | None:
        load = self._load(visitor_id)
        if load is None:
            raise DependencyError("batch features", f"{LOADS_MAX} reads are under way", "add stores")
        done, _ = await asyncio.wait({load}, timeout=self._deadline_s)
        if not done:
            raise DependencyError(
                "batch features", f"no answer within {self._deadline_s * 1000:.0f} ms", "see `python -m infra status`"
            )
        return load.result()

    def _load(self, visitor_id: str) -> asyncio.Task[Cells | None] | None:
        """The read of this row that is under way, or a new one; it fills the cache even when nobody waits for it."""
        load = self._loads.get(visitor_id)
        if load is None and len(self._loads) < LOADS_MAX:
            load = self._loads[visitor_id] = asyncio.get_running_loop().create_task(self._store.read(visitor_id))
            load.add_done_callback(lambda done: self._store_row(visitor_id, done))
        return load

    def _store_row(self, visitor_id: str, load: asyncio.Task[Cells | None]) -> None:
        del self._loads[visitor_id]
        if load.cancelled() or isinstance(load.exception(), PlatformError):
            return
        self._rows[visitor_id] = (self._clock(), load.result())
        self._rows.move_to_end(visitor_id)
        while len(self._rows) > self._rows_max:
            self._rows.popitem(last=False)
