"""Why an item is, or is not, in a slate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from domain.slates import Removal, Removed, Shown, Slate


class Stage(StrEnum):
    """Where in the path of a query the fate of an item was decided."""

    RETRIEVE = "retrieve"
    FILTER = "filter"
    COMPOSE = "compose"


STAGES: Final[Mapping[Removal, Stage]] = {
    Removal.EXCLUDED: Stage.FILTER,
    Removal.SHOWN_BEFORE: Stage.FILTER,
    Removal.SEEN: Stage.FILTER,
    Removal.DELETED: Stage.FILTER,
    Removal.FILTERED: Stage.FILTER,
    Removal.HIDDEN: Stage.FILTER,
    Removal.OUT_OF_STOCK: Stage.FILTER,
    Removal.AGE: Stage.FILTER,
    Removal.RULE: Stage.FILTER,
    Removal.RESTED: Stage.FILTER,
    Removal.VARIANT: Stage.COMPOSE,
    Removal.CATEGORY_CAP: Stage.COMPOSE,
    Removal.BELOW_THE_CUT: Stage.COMPOSE,
}


WORDS: Final[Mapping[Removal, str]] = {
    Removal.EXCLUDED: "the caller excludes it",
    Removal.SHOWN_BEFORE: "an earlier page has shown it",
    Removal.SEEN: "the visitor has acted on it, or it stands there already",
    Removal.DELETED: "the catalogue says that it is gone",
    Removal.HIDDEN: "the catalogue hides it",
    Removal.OUT_OF_STOCK: "it is out of stock",
    Removal.AGE: "it is for an older age than the youngest who looks on",
    Removal.FILTERED: "it does not fulfil the caller's filter",
    Removal.RULE: "a rule of the shop hides it",
    Removal.RESTED: "it was shown to the visitor often, never taken, and rests for a while",
    Removal.VARIANT: "a variant of it is there, and both count as one",
    Removal.CATEGORY_CAP: "its category stands in the slate as often as it may",
    Removal.BELOW_THE_CUT: "others score higher and fill the slate",
}


@dataclass(frozen=True, slots=True)
class Explained:
    """The fate of one item: shown at `position` (from 0), or dropped by `removed` at `stage`.

    At `retrieve` neither is there: no source proposed the item.
    """

    stage: Stage
    position: int | None = None
    shown: Shown | None = None
    removed: Removed | None = None


def explain(slate: Slate, item_id: str) -> Explained:
    """What became of the item on its way to this slate."""
    for position, shown in enumerate(slate.shown):
        if shown.candidate.item_id == item_id:
            return Explained(Stage.COMPOSE, position, shown)
    for removed in slate.removed:
        if removed.candidate.item_id == item_id:
            return Explained(STAGES[removed.why], removed=removed)
    return Explained(Stage.RETRIEVE)
