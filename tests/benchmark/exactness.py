"""Rows of a job against the naive reference, recomputed from the log up to the offsets that each row includes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from domain import reference
from domain.features import Entity
from domain.merge import merge_cells, stream_cells
from domain.policies import Policies
from domain.reference import LogRecord
from domain.rows import Row

PROVENANCE: Final = frozenset({"as_of_ms", "covered_to_ms", "history_gap", "incomplete"})
ROWS_EACH: Final = 4
"""Rows of a visitor that are compared: its last, and some on the way to it."""


@dataclass
class Exactness:
    """How much was compared, and what differed."""

    policies: Policies
    rows: int = 0
    fields: int = 0
    differences: list[str] = field(default_factory=list)

    def report(self) -> dict[str, int]:
        """For the results."""
        return {"rows": self.rows, "fields": self.fields, "mismatches": len(self.differences)}

    def compare_visitors(
        self, rows: Mapping[str, Sequence[Row]], log: Iterable[LogRecord], keys: Iterable[str]
    ) -> None:
        """Of each of these visitors some rows at their own offsets; the last must include all that was sent."""
        records = _by_key(log, "visitor")
        for key in keys:
            own, newest = rows.get(key, ()), _newest(records.get(key, ()))
            if not newest:
                continue
            if not own or dict(own[-1].offsets) != newest:
                self.differences.append(f"visitor {key}: the last row is at {own and own[-1].offsets}, not at {newest}")
            for row in own[:: -max(len(own) // ROWS_EACH, 1)]:
                part = [one for one in records[key] if one.stamp.offset <= row.offsets.get(one.stamp.partition, -1)]
                facts = reference.facts_by_key("visitor", part, self.policies).get(key, [])
                self._compare("visitor", key, row, facts)
                if tuple(row.visits) != reference.timeline(facts, self.policies).visits:
                    self.differences.append(f"visitor {key} at {row.offsets}: another timeline")

    def compare_items(self, rows: Mapping[str, Sequence[Row]], log: Iterable[LogRecord], keys: Iterable[str]) -> None:
        """Of each of these items the last row, when all is at rest: it draws from all partitions."""
        facts = reference.facts_by_key("item", log, self.policies)
        for key in keys:
            if key not in facts:
                continue
            if not rows.get(key):
                self.differences.append(f"item {key}: no row")
                continue
            self._compare("item", key, rows[key][-1], facts[key])

    def _compare(self, entity: Entity, key: str, row: Row, facts: Sequence[Any]) -> None:
        says = _plain(merge_cells(entity, None, stream_cells(entity, row)))
        expected = _plain(dict(reference.merged_values(entity, facts, row.received_at_ms, self.policies)))
        self.rows += 1
        self.fields += len(expected)
        for name in expected.keys() | (says.keys() - PROVENANCE):
            if says.get(name) != expected.get(name):
                difference = f"{says.get(name)!r:.80}, not {expected.get(name)!r:.80}"
                self.differences.append(f"{entity} {key} at {row.offsets}: {name} is {difference}")


def _by_key(log: Iterable[LogRecord], entity: Entity) -> dict[str, list[LogRecord]]:
    found = defaultdict(list)
    for record in log:
        found[record.event.visitor_id if entity == "visitor" else record.event.item_id].append(record)
    return found


def _newest(records: Iterable[LogRecord]) -> dict[int, int]:
    newest: dict[int, int] = {}
    for record in records:
        newest[record.stamp.partition] = max(newest.get(record.stamp.partition, -1), record.stamp.offset)
    return newest


def _plain(cells: Mapping[str, Any]) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(cells)
    return built
