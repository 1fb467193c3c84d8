"""What a search is answered with."""

from __future__ import annotations

import msgspec

from domain.slates import Degradation
from serving.pipeline.rank import RankedBy


class FoundItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item whose title has the words; `ranked_by` says what put it before the next one of equal words."""

    item_id: str
    title: str
    categories: tuple[str, ...]
    ranked_by: RankedBy
    score: float


class FoundItems(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `GET /v1/search`. `total` items have the words, some of which may not be shown."""

    items: tuple[FoundItem, ...]
    total: int
    features_as_of_ms: int
    model_version: str
    degraded: tuple[Degradation, ...]
    took_ms: float
