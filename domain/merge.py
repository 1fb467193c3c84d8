"""Merge on read: a batch row, plus the stream's buckets above that row's own cutoff, finished at one instant.

It is correct at every instant of a publish, because the cutoff travels with the row: there is no global switch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain import features as catalogue
from domain.features import GENERATION, Entity, Feature, batch_only_of, derived_of, features_of
from domain.policies import Policies
from domain.rows import Row
from domain.sessions import Session
from domain.timeline import Timeline

Cells = Mapping[str, Any]
"""One row of a view: column name to value."""


def stream_cells(entity: Entity, row: Row) -> dict[str, Any]:
    """A changelog row as the cells of `visitor_recent` or `item_trend`."""
    cells: dict[str, Any] = {
        "recent_buckets_ms": [bucket.start_ms for bucket in row.buckets],
        "recent_generations": [bucket.generation for bucket in row.buckets],
        "recent_dropped_through_ms": row.dropped_through_ms,
    }
    for feature in features_of(entity):
        aggregate = feature.aggregate
        states = [bucket.states.get(feature.name) for bucket in row.buckets]
        packed = [aggregate.pack_state(aggregate.zero() if state is None else state) for state in states]
        for index, name in enumerate(feature.state_names):
            cells[name] = [cell[index] for cell in packed]
    return cells | _provenance("recent", row)


def session_cells(row: Row, policies: Policies) -> dict[str, Any] | None:
    """A changelog row as the cells of `visitor_session`; None when the visitor has no visits."""
    session: Session = Timeline(tuple(row.visits)).current_session(policies.session)
    if not session:
        return None
    cells = {value.name: value.derive(session) for feature in catalogue.SESSION for value in feature.values}
    return cells | _provenance("session", row)


def _provenance(prefix: str, row: Row) -> dict[str, Any]:
    partitions = sorted(row.offsets)
    return {
        f"{prefix}_received_at_ms": row.received_at_ms,
        f"{prefix}_offset_partitions": partitions,
        f"{prefix}_offsets": [row.offsets[partition] for partition in partitions],
    }


def merge_cells(entity: Entity, history: Cells | None, recent: Cells | None) -> dict[str, Any]:
    """The cells of `visitor_profile` or `item_stats`.

    `as_of_ms` is the newest instant that either row knows of; `covered_to_ms` is the batch row's cutoff (0 without
    one). `history_gap` is 1 when the stream has let go of buckets that the batch row does not cover: such a row is
    too small, and the caller must say so. `incomplete` names the features of which a bucket or the batch row has a
    part at most, because the catalogue had not got them yet.
    """
    cutoff_ms = _cell(history, "cutoff_ms", 0)
    as_of_ms = max(cutoff_ms, _cell(recent, "recent_received_at_ms", 0))
    gap = _cell(recent, "recent_dropped_through_ms", 0) > cutoff_ms
    newer = _newer_buckets(recent, cutoff_ms)
    merged: dict[str, Any] = {
        "as_of_ms": as_of_ms,
        "covered_to_ms": cutoff_ms,
        "history_gap": int(gap),
        "incomplete": incomplete_features(entity, _generation(history, recent, newer)),
    }
    for feature in features_of(entity):
        total = _total(feature, history)
        columns = [_cell(recent, name, ()) for name in feature.state_names]
        if all(columns):  # a row from before the feature has none
            for start_ms, index in newer:
                state = feature.aggregate.unpack_state([column[index] for column in columns])
                total = feature.aggregate.extend(total, state, start_ms)
        merged.update(zip(feature.value_names, feature.aggregate.finish(total, as_of_ms), strict=True))
    for counted in batch_only_of(entity):
        merged.update({count: _cell(history, f"history_{count}", 0) for count in counted.counts})
    for derived in derived_of(entity):
        merged[derived.name] = derived.derive(merged)
    return merged


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
