"""What a whole feed of the catalogue means for the catalogue that there is."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from schemas.errors import Reason, RejectedEvent
from schemas.events import ItemEvent, decode, encode
from serving.adapters.catalogue import Catalogue

TOLD_MAX: Final = 100
"""Refused lines, and removed items, that are named."""


class Removals(StrEnum):
    """What became of the items that a feed does not name."""

    DONE = "done"
    TOO_MANY = "withheld_too_many"
    UNREADABLE = "withheld_unreadable"


class RefusedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line, counted from 1, that is no item of the contract. Its item stays as it was, if its id can be read."""

    line: int
    reason: Reason
    field: str
    detail: str


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `PUT /v1/catalogue`: what the feed changed, or would change with `dry_run`.

    Every line is added, changed, unchanged, refused or a removal of its own (`"deleted": true`). `removals` says what
    became of the items that it does not name: `done`; or left alone, because they are a larger share of the catalogue
    than `removals_share_max`, or because a refused line does not tell which item it is about. The first 100 refused
    lines and removed items are named.
    """

    lines: int
    added: int
    changed: int
    unchanged: int
    removed: int
    refused: int
    removals: Removals
    missing: int
    refused_lines: tuple[RefusedLine, ...]
    removed_items: tuple[str, ...]
    dry_run: bool


class _Id(msgspec.Struct):
    item_id: str


class Reconciliation:
    """Judges the lines of one feed, in their order, against the catalogue in memory."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._named: dict[str, int] = {}  # by item the line that names it
        self._added = self._changed = self._unchanged = self._refused = 0
        self._lines = 0
        self._is_readable = True
        self._refusals: list[RefusedLine] = []
        self._removed: list[str] = []
        self._missing: list[str] = []
        self._removals = Removals.DONE

    def judge(self, number: int, line: bytes) -> ItemEvent | None:
        """The item to publish, None when the line changes nothing or is refused. An empty line is passed over."""
        if not line.strip():
            return None
        self._lines += 1
        try:
            item = decode(ItemEvent, line)
            if item.item_id in self._named:
                detail = f"line {self._named[item.item_id]} names {item.item_id!r}, too"
                raise RejectedEvent(Reason.CONTRACT, "item_id", detail)
        except RejectedEvent as error:
            self._refuse(number, line, error)
            return None
        self._named[item.item_id] = number
        return item if self._counts(item) else None

    def removals(self, share_max: float) -> list[ItemEvent]:
        """The items that the feed has not named, as deletions; none where that is suspicious."""
        live = len(self._catalogue)
        self._missing = [item.item_id for item in self._catalogue.live() if item.item_id not in self._named]
        if not self._is_readable:
            self._removals = Removals.UNREADABLE
        elif len(self._missing) > share_max * live:
            self._removals = Removals.TOO_MANY
        else:
            self._removed += self._missing
            return [ItemEvent(item_id=item_id, deleted=True) for item_id in self._missing]
        return []

    def report(self, dry_run: bool) -> Reconciled:
        """What it came to."""
        return Reconciled(
            lines=self._lines,
            added=self._added,
            changed=self._changed,
            unchanged=self._unchanged,
            removed=len(self._removed),
            refused=self._refused,
            removals=self._removals,
            missing=len(self._missing),
            refused_lines=tuple(self._refusals),
            removed_items=tuple(self._removed[:TOLD_MAX]),
            dry_run=dry_run,
        )

    def _counts(self, item: ItemEvent) -> bool:
        """Count what the item is to the catalogue; whether it changes it."""
        known = self._catalogue.item(item.item_id)
        is_live = known is not None and not known.deleted
        if item.deleted and is_live:
            self._removed.append(item.item_id)
        elif item.deleted or (known is not None and encode(known) == encode(item)):
            self._unchanged += 1
            return False
        elif is_live:
            self._changed += 1
        else:
            self._added += 1
        return True

    def _refuse(self, number: int, line: bytes, error: RejectedEvent) -> None:
        self._refused += 1
        if len(self._refusals) < TOLD_MAX:
            refused = RefusedLine(line=number, reason=error.reason, field=error.field, detail=error.detail[:500])
            self._refusals.append(refused)
        try:
            self._named.setdefault(msgspec.json.decode(line, type=_Id).item_id, number)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._is_readable = False
