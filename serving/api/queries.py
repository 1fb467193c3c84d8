"""From a request's body to the pipeline's query."""

from __future__ import annotations

from functools import lru_cache

from domain import slates
from domain.cursors import CursorError, shown_before
from domain.filters import Filter, FilterError
from domain.placements import Placements
from domain.slates import Act, Placement
from serving.api import contract
from serving.api.errors import InvalidField


def query_of(body: contract.RecommendationsRequest, placements: Placements, now_ms: int) -> slates.Query:
    """The query for a slate, with the placement's policy where the caller says nothing.

    Raises:
        InvalidField: the filter or the cursor is none, or an item page is asked for without its item.
    """
    if body.placement is Placement.ITEM and not body.context_items:
        raise InvalidField("context_items", "an item page has an item", 'send "context_items": ["its item_id"]')
    policy = placements.of(body.placement)
    return slates.Query(
        visitor_id=body.visitor_id,
        count=body.count or policy.count,
        asked_at_ms=now_ms,
        exclude=frozenset(body.exclude),
        shown_before=_shown_before(body.cursor),
        category_cap=body.category_cap or policy.category_cap,
        filter=filter_of(body.filter),
        age=body.age,
        placement=body.placement,
        tier=policy.tier,
        sources=policy.sources,
        at_hand=body.context_items,
        clicks=acts_of(body.clicks, now_ms),
        personalise=body.personalise,
    )


def _shown_before(cursor: str | None) -> frozenset[int]:
    if cursor is None:
        return frozenset()
    try:
        return shown_before(cursor)
    except CursorError as error:
        raise InvalidField("cursor", str(error)) from error


def acts_of(clicks: tuple[contract.Click, ...], now_ms: int) -> tuple[Act, ...]:
    """The clicks as acts of the visitor."""
    return tuple(Act(each.item_id, each.kind, now_ms if each.at_ms is None else each.at_ms) for each in clicks)


def filter_of(text: str | None, field: str = "filter") -> Filter | None:
    """The filter, None without one. Raises InvalidField naming `field`."""
    if text is None:
        return None
    try:
        return _parsed(text)
    except FilterError as error:
        raise InvalidField(field, error) from error


@lru_cache(maxsize=1_024)
def _parsed(text: str) -> Filter:
    """Callers ask with the same few filters again and again."""
    return Filter.of(text)
