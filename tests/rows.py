"""Builders of rows as the two layers leave them: cells of a batch view, and states of the stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from domain.features import GENERATION, Entity, batch_only_of, column_names, features_of
from domain.merge import stream_cells
from domain.policies import DAY_MS, Policies
from domain.reference import totals
from domain.rows import OpenRow, Row, encode_row, open_row
from domain.states import ItemState, VisitorState
from tests.builders import START_MS, fact, interaction, stamp

POLICIES = Policies()
KINDS = ("view", "cart", "purchase", "like", "play", "rating")
VALUES = {"purchase": 19.99, "play": 90_000.5, "rating": 4.5}


def day_events(days: Iterable[int], *, each: int = 3) -> list[tuple[str, dict[str, Any]]]:
    """Event ids and fields of `each` interactions on every day after START_MS, of several kinds and categories."""
    return [
        (
            f"e{day}-{number}",
            {
                "kind": KINDS[number % len(KINDS)],
                "value": VALUES.get(KINDS[number % len(KINDS)]),
                "item": f"item-{number}",
                "categories": (f"c{day % 3}",),
                "at_ms": START_MS + day * DAY_MS + number * 60_000,
            },
        )
        for day in days
        for number in range(each)
    ]


def visitor_row(*, days: Iterable[int], each: int = 3) -> Row:
    """What the stream keeps of a visitor who acted on these days."""
    state = VisitorState.load(None, POLICIES)
    for offset, (event_id, fields) in enumerate(day_events(days, each=each)):
        state.observe(interaction(event_id, **fields), stamp(fields["at_ms"], offset=offset))
    return state.row


def item_row(*, days: Iterable[int], each: int = 3) -> Row:
    """What the stream keeps of an item on which somebody acted on these days."""
    state = ItemState.load(None, POLICIES)
    for offset, (event_id, fields) in enumerate(day_events(days, each=each)):
        state.add(fact(event_id, received_at_ms=fields["at_ms"], **fields), stamp(fields["at_ms"], offset=offset))
    return state.row


def opened(row: Row) -> OpenRow:
    """A row as the writer takes it from the changelog."""
    return open_row(encode_row(row))


def recent_cells(entity: Entity, row: Row) -> dict[str, Any]:
    """The cells of `visitor_recent` or `item_trend`."""
    return stream_cells(entity, row)


def history_cells(entity: Entity, *, days: Iterable[int], each: int = 3) -> dict[str, Any]:
    """The cells of `visitor_history` or `item_profile` whose cutoff is the end of the last of these days."""
    covered = list(days)
    facts = [
        fact(event_id, received_at_ms=fields["at_ms"], **fields) for event_id, fields in day_events(covered, each=each)
    ]
    found = totals(entity, facts, POLICIES)
    cells: dict[str, Any] = {"cutoff_ms": START_MS + (max(covered) + 1) * DAY_MS, "history_generation": GENERATION}
    for feature in features_of(entity):
        packed = feature.aggregate.pack_total(found[feature.name])
        cells.update(zip(column_names(feature.total_columns()), packed, strict=True))
    for counted in batch_only_of(entity):
        cells.update({name: 100 // 10**at for at, name in enumerate(column_names(counted.total_columns()))})
    return cells
