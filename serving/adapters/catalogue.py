"""The catalogue in memory: what the `items` topic says of each item."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

from schemas.errors import RejectedEvent
from schemas.events import ItemEvent, decode

log = logging.getLogger(__name__)

DELETED: Final = ItemEvent(item_id="-", deleted=True)


class Catalogue:
    """Items by id. Written by one follower thread; reads need no lock, because each is one dictionary look-up."""

    def __init__(self) -> None:
        self._items: dict[str, ItemEvent] = {}
        self._titles: dict[str, str] = {}  # lower case, for the search

    def __len__(self) -> int:
        return len(self._titles)

    def take(self, newest: Mapping[str, bytes | None]) -> None:
        """Take a piece of the topic."""
        for item_id, raw in newest.items():
            try:
                self._put(item_id, DELETED if raw is None else decode(ItemEvent, raw))
            except RejectedEvent as error:
                log.warning("item.rejected", extra={"item_id": item_id, "problem": str(error)})

    def item(self, item_id: str) -> ItemEvent | None:
        """What is known of the item; None for an unknown one."""
        return self._items.get(item_id)

    def title(self, item_id: str) -> str:
        """The title, empty where there is none."""
        item = self._items.get(item_id)
        return item.title if item else ""

    def categories(self, item_id: str) -> tuple[str, ...]:
        """The categories, none for an unknown item."""
        item = self._items.get(item_id)
        return item.categories if item else ()

    def is_deleted(self, item_id: str) -> bool:
        """Whether the catalogue says that the item is gone. Unknown items are not."""
        item = self._items.get(item_id)
        return item is not None and item.deleted

    def search(self, text: str, limit: int) -> list[ItemEvent]:
        """Items whose title has every word of `text`: first those that begin with it, then by title."""
        words = text.lower().split()
        if not words:
            return []
        titles = list(self._titles.items())  # one step: the follower cannot come in between
        found = [(title, item_id) for item_id, title in titles if all(word in title for word in words)]
        start = " ".join(words)
        best = sorted(found, key=lambda entry: (not entry[0].startswith(start), entry))[:limit]
        return _present(self._items.get(item_id) for _, item_id in best)

    def _put(self, item_id: str, item: ItemEvent) -> None:
        self._items[item_id] = item
        if item.deleted:
            self._titles.pop(item_id, None)
        else:
            self._titles[item_id] = item.title.lower()


def _present(items: Iterable[ItemEvent | None]) -> list[ItemEvent]:
    return [item for item in items if item is not None and not item.deleted]
