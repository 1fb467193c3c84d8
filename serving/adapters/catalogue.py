"""The catalogue in memory: what the `items` topic says of each item."""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from domain.onboarding import named_category
from schemas.errors import RejectedEvent
from schemas.events import ItemEvent, decode
from serving.adapters.title_index import TitleIndex

log = logging.getLogger(__name__)

DELETED: Final = ItemEvent(item_id="-", deleted=True)
NEWEST_KEPT: Final = 500
"""Items that are kept ready by when they were published."""


class Catalogue:
    """Items by id. Written by one follower thread; reads need no lock, because each is one dictionary look-up."""

    def __init__(self) -> None:
        self._items: dict[str, ItemEvent] = {}
        self._live = 0
        self._variants = 0
        self._categories: Counter[str] = Counter()
        self._newest: Sequence[str] = ()
        self.titles = TitleIndex()

    def __len__(self) -> int:
        return self._live

    def take(self, newest: Mapping[str, bytes | None]) -> None:
        """Take a piece of the topic."""
        taken: dict[str, ItemEvent] = {}
        for item_id, raw in newest.items():
            try:
                taken[item_id] = DELETED if raw is None else decode(ItemEvent, raw)
            except RejectedEvent as error:
                log.warning("item.rejected", extra={"item_id": item_id, "problem": str(error)})
        are_newest = {*self._newest} & taken.keys()
        for item_id, item in taken.items():
            self._put(item_id, item)
        self.titles.put((item_id, "" if item.deleted else item.title) for item_id, item in taken.items())
        if are_newest or any(item.published_at_ms is not None for item in taken.values()):
            self._newest = self._ranked_by_newness()

    def item(self, item_id: str) -> ItemEvent | None:
        """What is known of the item; None for an unknown one."""
        return self._items.get(item_id)

    def title(self, item_id: str) -> str:
        """The title, empty where there is none; of what stands for a category, its name."""
        item = self._items.get(item_id)
        return item.title if item else named_category(item_id) or ""

    def categories(self, item_id: str) -> tuple[str, ...]:
        """The categories, none for an unknown item."""
        item = self._items.get(item_id)
        return item.categories if item else ()

    def is_unknown(self, item_id: str) -> bool:
        """Whether the catalogue has never heard of the item, nor does it stand for a category."""
        return item_id not in self._items and named_category(item_id) is None

    @property
    def has_variants(self) -> bool:
        """Whether some item counts as another one."""
        return self._variants > 0

    def group_of(self, item_id: str) -> str:
        """What the item counts as: the item that it is a variant of, else itself."""
        item = self._items.get(item_id)
        return item_id if item is None else item.variant_of or item_id

    def newest(self) -> Sequence[str]:
        """The `NEWEST_KEPT` items that were published last, the newest first."""
        return self._newest

    def category_sizes(self) -> Mapping[str, int]:
        """Every category and how many items it has."""
        return {category: count for category, count in self._categories.copy().items() if count > 0}

    def live(self) -> Iterator[ItemEvent]:
        """The items that are not deleted, as they are now."""
        return (item for item in list(self._items.values()) if not item.deleted)

    def _put(self, item_id: str, item: ItemEvent) -> None:
        before = self._items.get(item_id, DELETED)
        self._items[item_id] = item
        for each, step in ((before, -1), (item, 1)):
            if not each.deleted:
                self._live += step
                self._variants += step * (each.variant_of is not None)
                for category in set(each.categories):
                    self._categories[category] += step

    def _ranked_by_newness(self) -> Sequence[str]:
        dated = ((item.published_at_ms, item_id) for item_id, item in self._items.items() if _is_dated(item))
        return [item_id for _, item_id in heapq.nlargest(NEWEST_KEPT, dated)]


def _is_dated(item: ItemEvent) -> bool:
    return item.published_at_ms is not None and not item.deleted
