"""Changes of the catalogue by its keeper: single items, and a whole feed. Kafka is told; every server follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from schemas.errors import DependencyError, Reason, RejectedEvent
from schemas.events import ItemEvent, decode, encode
from schemas.topics import ITEMS
from serving.adapters.catalogue import Catalogue
from serving.adapters.gateway import Publishing
from serving.adapters.publisher import REMEDY, Confirmed, Record
from serving.adapters.reconciliation import Reconciled, Reconciliation

PIECE: Final = 200
"""Lines of a feed that are judged, and published, at a time: some milliseconds."""

CATCH_UP_S: Final = 10.0


class CatalogueDesk:
    """Changes items: in Kafka, from where this server and every other takes them within two seconds."""

    def __init__(
        self,
        publisher: Publishing,
        catalogue: Catalogue,
        topic_prefix: str,
        catch_up: Callable[[float], Awaitable[None]],
    ) -> None:
        self._publisher = publisher
        self._catalogue = catalogue
        self._topic = ITEMS.named(topic_prefix).name
        self._catch_up = catch_up
        self._reconciling = asyncio.Lock()

    async def patch(self, item_id: str, changes: dict[str, Any]) -> ItemEvent:
        """Change fields of an item as RFC 7396 has it (null: as if it had not been said); an unknown one is begun.

        Raises:
            RejectedEvent: what comes out breaks the contract.
            DependencyError: Kafka does not answer in time.
        """
        if changes.get("item_id", item_id) != item_id:
            raise RejectedEvent(Reason.CONTRACT, "item_id", f"the path says {item_id!r}")
        await self._catch_up(CATCH_UP_S)
        known = self._catalogue.item(item_id)
        before = {} if known is None or known.deleted else msgspec.json.decode(encode(known))
        item = decode(ItemEvent, msgspec.json.encode(_merged(before, changes) | {"item_id": item_id}))
        await self._publish([item])
        return item

    async def delete(self, item_id: str) -> None:
        """Say that an item is gone; a word that stays, so that models that have learnt of it do not bring it back."""
        await self._publish([ItemEvent(item_id=item_id, deleted=True)])

    async def reconcile(
        self, lines: AsyncIterable[bytes], *, removals_share_max: float, dry_run: bool = False
    ) -> Reconciled:
        """Make the catalogue what the feed says, a JSON object of an item a line, and report on every difference.

        Items that the feed does not name are removed at its end, unless that would be suspicious (see `Reconciled`).
        Feeds are taken one after the other. Sending one again is safe, whatever became of it.

        Raises:
            DependencyError: Kafka does not answer in time; what came before has been taken, nothing has been removed.
        """
        async with self._reconciling:
            await self._catch_up(CATCH_UP_S)
            feed = Reconciliation(self._catalogue)
            changed: list[ItemEvent] = []
            number = 0
            async for line in lines:
                number += 1
                if (item := feed.judge(number, line)) is not None:
                    changed.append(item)
                if number % PIECE == 0:
                    await self._settle(changed, dry_run)
            await self._settle(changed, dry_run)
            removed = feed.removals(removals_share_max)
            for start in range(0, len(removed), PIECE):
                await self._settle(list(removed[start : start + PIECE]), dry_run)
            return feed.report(dry_run)

    async def _settle(self, items: list[ItemEvent], dry_run: bool) -> None:
        """Publish these, and leave room for who else is asking."""
        if items and not dry_run:
            await self._publish(items)
        else:
            await asyncio.sleep(0)
        items.clear()

    async def _publish(self, items: Sequence[ItemEvent]) -> None:
        outcomes = await self._publisher.publish([Record(self._topic, item.item_id, encode(item)) for item in items])
        lost = sum(not isinstance(outcome, Confirmed) for outcome in outcomes)
        if lost:
            raise DependencyError("kafka", f"{lost} items are unconfirmed", REMEDY)


def _merged(before: Any, changes: Any) -> Any:
    """JSON merge patch (RFC 7396, section 2)."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(before) if isinstance(before, dict) else {}
    for name, change in changes.items():
        if change is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), change)
    return merged
