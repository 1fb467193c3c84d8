"""The stream and the stores as they should be, in memory: what parity must agree with, until a test breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from batch.expectation import Key, KeyLog, Offsets, key_logs
from domain.facts import Fact
from domain.features import (
    GENERATION,
    Entity,
    batch_only_of,
    batch_view_columns,
    column_names,
    features_of,
    session_view_columns,
    stream_view_columns,
)
from domain.impressions import ImpressionCounts, ImpressionRecord, impression_counts
from domain.merge import Cells, merge_cells, session_cells, stream_cells
from domain.policies import Policies
from domain.reference import LogRecord, admitted, facts_by_key, totals
from domain.rows import Row
from domain.states import Admitted, ItemState, VisitorState
from schemas.errors import RejectedEvent


class StreamInMemory:
    """Observes live records in order, as the speed job does."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        self._visitors: dict[str, VisitorState] = {}
        self._items: dict[str, ItemState] = {}

    def observe(self, records: Iterable[LogRecord]) -> None:
        for record in sorted(records, key=lambda one: (one.stamp.partition, one.stamp.offset)):
            if record.stamp.partition < 0:
                continue
            visitor = self._visitors.setdefault(record.event.visitor_id, VisitorState.load(None, self._policies))
            try:
                outcome = visitor.observe(record.event, record.stamp)
            except RejectedEvent:
                continue
            if isinstance(outcome, Admitted):
                item = self._items.setdefault(record.event.item_id, ItemState.load(None, self._policies))
                item.add(outcome.fact, record.stamp)

    def row(self, entity: Entity, key: str) -> Row | None:
        states: Mapping[str, VisitorState | ItemState] = self._visitors if entity == "visitor" else self._items
        return states[key].row if key in states else None


def batch_cells(
    entity: Entity,
    covered: Sequence[Fact],
    cutoff_ms: int,
    policies: Policies,
    counts: ImpressionCounts | None = None,
) -> dict[str, Any]:
    """A batch row as the daily run leaves it."""
    found = totals(entity, covered, policies)
    cells: dict[str, Any] = {"cutoff_ms": cutoff_ms, "history_generation": GENERATION}
    for feature in features_of(entity):
        packed = feature.aggregate.pack_total(found[feature.name])
        cells.update(zip(feature.total_names, packed, strict=True))
    for counted in batch_only_of(entity):
        cells.update(zip(column_names(counted.total_columns()), counts or ImpressionCounts(), strict=True))
    return cells


Merge = Callable[[Entity, Cells | None, Cells | None], Cells]


class StoresInMemory:
    """Rows as Feast would read them.

    A test breaks them: `changes` replaces single cells, (entity, key, column) to value; `rows` replaces rows of the
    stream, None for one that is lost; `merge` is what merges when a row is read.
    """

    def __init__(self, policies: Policies) -> None:
        self.stream = StreamInMemory(policies)
        self.changes: dict[tuple[Entity, str, str], Any] = {}
        self.rows: dict[Key, Row | None] = {}
        self.merge: Merge = merge_cells
        self._policies = policies
        self._history: dict[Key, dict[str, Any]] = {}

    def publish(
        self, records: Sequence[LogRecord], cutoff_ms: int, impressions: Sequence[ImpressionRecord] = ()
    ) -> None:
        """The daily batch: totals of all that was received before the cutoff."""
        counts = impression_counts(impressions, admitted(records, self._policies), cutoff_ms)
        entities: tuple[Entity, Entity] = ("visitor", "item")
        for entity in entities:
            for key, facts in facts_by_key(entity, records, self._policies).items():
                covered = [fact for fact in facts if fact.received_at_ms < cutoff_ms]
                if covered:
                    own = counts.get(key, ImpressionCounts()) if entity == "item" else ImpressionCounts()
                    self._history[entity, key] = batch_cells(entity, covered, cutoff_ms, self._policies, own)

    def forget_history(self, entity: Entity, key: str) -> None:
        del self._history[entity, key]

    def row(self, entity: Entity, key: str) -> Row | None:
        """The row of the stream, as it is stored."""
        return self.rows[entity, key] if (entity, key) in self.rows else self.stream.row(entity, key)

    def read(self, entity: Entity, keys: Sequence[str]) -> dict[str, Any]:
        return {key: self._read(entity, key) for key in keys}

    def _read(self, entity: Entity, key: str) -> dict[str, Any]:
        row = self.row(entity, key)
        recent = self._changed(entity, key, stream_cells(entity, row)) if row else None
        stored = self._history.get((entity, key))
        history = self._changed(entity, key, stored) if stored else None
        session = session_cells(row, self._policies) if row and entity == "visitor" else None
        cells: dict[str, Any] = {}
        for columns, found in (
            (stream_view_columns(entity), recent),
            (batch_view_columns(entity), history),
            (session_view_columns() if entity == "visitor" else [], session),
        ):
            cells |= found or dict.fromkeys(column_names(columns))
        return self._changed(entity, key, {**cells, **self.merge(entity, history, recent)})

    def _changed(self, entity: Entity, key: str, cells: dict[str, Any]) -> dict[str, Any]:
        changes = {column: value for (of, one, column), value in self.changes.items() if (of, one) == (entity, key)}
        return cells | {column: value for column, value in changes.items() if column in cells}


class LogInMemory:
    """A log that is whole from the start."""

    def __init__(
        self, records: Sequence[LogRecord], policies: Policies, impressions: Sequence[ImpressionRecord] = ()
    ) -> None:
        self.records = list(records)
        self._policies = policies
        self._impressions = impressions

    def keys(self) -> dict[Entity, list[str]]:
        shown = {item for one in self._impressions for item in one.event.items}
        return {
            "visitor": sorted({one.event.visitor_id for one in self.records}),
            "item": sorted({one.event.item_id for one in self.records} | shown),
        }

    def held(self) -> Offsets:
        found: dict[int, int] = {}
        for one in self.records:
            found[one.stamp.partition] = max(one.stamp.offset, found.get(one.stamp.partition, -1))
        return found

    def read(self, keys: Sequence[Key]) -> dict[Key, KeyLog]:
        return key_logs(self.records, keys, self._policies, self._impressions)

    def catch_up(self, offsets: Offsets) -> None:
        pass
