"""Merge on read: a batch row, plus the stream's buckets above that row's own cutoff, finished at one instant.

It is correct at every instant of a publish, because the cutoff travels with the row: there is no global switch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from typing import Any, Final

from domain import features as catalogue
from domain.aggregates import ColumnType
from domain.features import (
    GENERATION,
    PROVENANCE_COLUMNS,
    Entity,
    Feature,
    batch_only_of,
    derived_of,
    features_of,
)
from domain.policies import Policies
from domain.rows import BucketState, OpenRow, Row
from domain.sessions import Session
from domain.timeline import Timeline, Visit

DROPPED: Final = "recent_dropped_through_ms"

Cells = Mapping[str, Any]
"""One row of a view: column name to value."""


def bucket_columns(entity: Entity) -> list[tuple[str, ColumnType]]:
    """The columns of `visitor_recent` or `item_trend` that have a member for each bucket, and the type of a member."""
    states = [(f"recent_{c.name(f.name)}", c.type) for f in features_of(entity) for c in f.aggregate.state_columns]
    return [("recent_buckets_ms", ColumnType.INT), ("recent_generations", ColumnType.INT), *states]


def bucket_cells(entity: Entity, bucket: BucketState) -> list[Any]:
    """One bucket of a changelog row as members of `bucket_columns`, to read only: those of zero states are shared."""
    cells: list[Any] = [bucket.start_ms, bucket.generation]
    state_of = bucket.states.get
    for feature in features_of(entity):
        state = state_of(feature.name)
        cells += feature.zero_cells if state is None else feature.pack_state(state)
    return cells


def stream_cells(entity: Entity, row: Row) -> dict[str, Any]:
    """A changelog row as the cells of `visitor_recent` or `item_trend`."""
    buckets = [bucket_cells(entity, bucket) for bucket in row.buckets]
    cells: dict[str, Any] = {
        name: [copy(members[place]) for members in buckets] for place, (name, _) in enumerate(bucket_columns(entity))
    }
    cells[DROPPED] = row.dropped_through_ms
    return cells | _origin_cells("recent", row)


def session_values(visits: Sequence[Visit], policies: Policies) -> list[Any] | None:
    """What the catalogue knows of the current session, in its order; None when there are no visits."""
    newest = Timeline(tuple(visits)).current_session(policies.session)
    if not newest:
        return None
    session = Session(newest)
    return [derive(session) for derive in _SESSION_RULES]


def session_cells(row: Row, policies: Policies) -> dict[str, Any] | None:
    """A changelog row as the cells of `visitor_session`; None when the visitor has no visits."""
    values = session_values(row.visits, policies)
    return None if values is None else dict(zip(_SESSION_NAMES, values, strict=True)) | _origin_cells("session", row)


_SESSION: Final = tuple(value for feature in catalogue.SESSION for value in feature.values)
_SESSION_NAMES: Final = tuple(value.name for value in _SESSION)
_SESSION_RULES: Final = tuple(value.derive for value in _SESSION)


def origin_values(row: Row | OpenRow) -> tuple[int, list[int], list[int]]:
    """Where a changelog row comes from: the cells of PROVENANCE_COLUMNS."""
    partitions = sorted(row.offsets)
    return (row.received_at_ms, partitions, [row.offsets[partition] for partition in partitions])


def _origin_cells(prefix: str, row: Row) -> dict[str, Any]:
    return {f"{prefix}_{name}": value for (name, _), value in zip(PROVENANCE_COLUMNS, origin_values(row), strict=True)}


def merge_cells(
    entity: Entity, history: Cells | None, recent: Cells | None, only: Collection[str] | None = None
) -> dict[str, Any]:
    """The cells of `visitor_profile` or `item_stats`; with `only`, of these features and none that follow from others.

    A row costs what its features cost, so a reader of many rows names those that it needs; their values are the same.

    `as_of_ms` is the newest instant that either row knows of; `covered_to_ms` is the batch row's cutoff (0 without
    one). `history_gap` is 1 when the stream has let go of buckets that the batch row does not cover: such a row is
    too small, and the caller must say so. `incomplete` names the features of which a bucket or the batch row has a
    part at most, because the catalogue had not got them yet.
    """
    cutoff_ms = _cell(history, "cutoff_ms", 0)
    as_of_ms = max(cutoff_ms, _cell(recent, "recent_received_at_ms", 0))
    gap = _cell(recent, DROPPED, 0) > cutoff_ms
    newer = _newer_buckets(recent, cutoff_ms)
    merged: dict[str, Any] = {
        "as_of_ms": as_of_ms,
        "covered_to_ms": cutoff_ms,
        "history_gap": int(gap),
        "incomplete": incomplete_features(entity, _generation(history, recent, newer)),
    }
    for feature in features_of(entity):
        if only is not None and feature.name not in only:
            continue
        total = _total(feature, history)
        columns = [_cell(recent, name, ()) for name in feature.state_names]
        if all(columns):  # a row from before the feature has none
            for start_ms, index in newer:
                state = feature.aggregate.unpack_state([column[index] for column in columns])
                total = feature.aggregate.extend(total, state, start_ms)
        merged.update(zip(feature.value_names, feature.aggregate.finish(total, as_of_ms), strict=True))
    if only is not None:
        return merged
    for counted in batch_only_of(entity):
        merged.update({count: _cell(history, f"history_{count}", 0) for count in counted.counts})
    for derived in derived_of(entity):
        merged[derived.name] = derived.derive(merged)
    return merged


def stream_columns(entity: Entity, only: Collection[str]) -> frozenset[str]:
    """The columns of the stream's row that `merge_cells` reads for these features."""
    states = (name for feature in features_of(entity) if feature.name in only for name in feature.state_names)
    return frozenset(("recent_buckets_ms", "recent_generations", "recent_received_at_ms", DROPPED, *states))


def incomplete_features(entity: Entity, generation: int) -> list[str]:
    """The features that a catalogue of this generation had not got, and those that follow from them."""
    if generation >= GENERATION:
        return []
    later = [feature.name for feature in features_of(entity) if feature.since > generation]
    return [*later, *(each.name for each in derived_of(entity) if not set(later).isdisjoint(each.inputs))]


def _newer_buckets(recent: Cells | None, cutoff_ms: int) -> list[tuple[int, int]]:
    """(start, place in the row) of the stream's buckets that the batch row does not cover, ascending."""
    starts = _cell(recent, "recent_buckets_ms", ())
    return sorted((start, index) for index, start in enumerate(starts) if start >= cutoff_ms)


def _generation(history: Cells | None, recent: Cells | None, newer: list[tuple[int, int]]) -> int:
    """The oldest generation of what is merged."""
    generations = _cell(recent, "recent_generations", ())
    covered = _cell(history, "history_generation", 1) if _cell(history, "cutoff_ms", 0) else GENERATION
    return min([covered, *(generations[index] if generations else 1 for _, index in newer)])


def _total(feature: Feature, history: Cells | None) -> Any:
    cells = [_cell(history, name, None) for name in feature.total_names]
    if any(cell is None for cell in cells):
        return feature.aggregate.nothing()
    return feature.aggregate.unpack_total(cells)


def _cell(cells: Cells | None, name: str, absent: Any) -> Any:
    value = cells.get(name) if cells else None
    return absent if value is None else value
