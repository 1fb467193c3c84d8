"""The stream and the stores as they should be, in memory: what parity must agree with, until a test breaks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batch.expectation import Key, KeyLog, Offsets, key_logs
from domain.features import Entity, column_names, features_of, session_view_columns
from domain.merge import merge_cells, session_cells, stream_cells
from domain.policies import Policies
from domain.reference import LogRecord, facts_by_key, totals
from domain.states import Admitted, ItemState, Row, VisitorState
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


class StoresInMemory:
    """Rows as Feast would read them. `changes` replaces single cells: (entity, key, column) to value."""

    def __init__(self, policies: Policies) -> None:
        self.stream = StreamInMemory(policies)
        self.changes: dict[tuple[Entity, str, str], Any] = {}
        self._policies = policies
        self._history: dict[Key, dict[str, Any]] = {}

    def publish(self, records: Sequence[LogRecord], cutoff_ms: int) -> None:
        """The daily batch: totals of all that was received before the cutoff."""
        entities: tuple[Entity, Entity] = ("visitor", "item")
        for entity in entities:
            for key, facts in facts_by_key(entity, records, self._policies).items():
                covered = [fact for fact in facts if fact.received_at_ms < cutoff_ms]
                if not covered:
                    continue
                found = totals(entity, covered, self._policies)
                cells: dict[str, Any] = {"cutoff_ms": cutoff_ms}
                for feature in features_of(entity):
                    packed = feature.aggregate.pack_total(found[feature.name])
                    cells.update(zip(column_names(feature.total_columns()), packed, strict=True))
                self._history[entity, key] = cells

    def forget_history(self, entity: Entity, key: str) -> None:
        del self._history[entity, key]

    def read(self, entity: Entity, keys: Sequence[str]) -> dict[str, Any]:
        return {key: self._row(entity, key) for key in keys}

    def _row(self, entity: Entity, key: str) -> dict[str, Any]:
        row, history = self.stream.row(entity, key), self._history.get((entity, key))
        recent = (
            stream_cells(entity, row)
            if row
            else dict.fromkeys(
                ("recent_received_at_ms", "recent_dropped_through_ms", "recent_offsets", "recent_offset_partitions")
            )
        )
        cells = {**recent, **merge_cells(entity, history, recent)}
        if entity == "visitor":
            session = session_cells(row, self._policies) if row else None
            cells |= session or dict.fromkeys(column_names(session_view_columns()))
        return cells | {
            column: value for (of, one, column), value in self.changes.items() if (of, one) == (entity, key)
        }


class LogInMemory:
    """A log that is whole from the start."""

    def __init__(self, records: Sequence[LogRecord], policies: Policies) -> None:
        self.records = list(records)
        self._policies = policies

    def keys(self) -> dict[Entity, list[str]]:
        return {
            "visitor": sorted({one.event.visitor_id for one in self.records}),
            "item": sorted({one.event.item_id for one in self.records}),
        }

    def read(self, keys: Sequence[Key]) -> dict[Key, KeyLog]:
        return {key: KeyLog() for key in keys} | key_logs(self.records, self._policies)

    def catch_up(self, offsets: Offsets) -> None:
        pass
