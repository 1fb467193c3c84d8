"""Holds what the speed job made of a log against the naive reference."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from domain import reference
from domain.features import Entity
from domain.merge import merge_cells, stream_cells
from domain.reference import LogRecord
from domain.rows import Row
from tests.integration.speed_log import POLICIES, Outcome, newest

PROVENANCE = {"as_of_ms", "covered_to_ms", "history_gap", "incomplete"}


def visitor_rows_are_right(outcome: Outcome) -> None:
    """Every row (of each visitor the last ten) equals the reference at the offsets that it includes."""
    logs = by_visitor(outcome)
    assert outcome.visitor_rows.keys() == logs.keys()
    for visitor, rows in outcome.visitor_rows.items():
        for row in {tuple(row.offsets.items()): row for row in rows[-10:]}.values():
            log = included(logs[visitor], row)
            assert stream_says("visitor", row) == reference_says("visitor", visitor, log, row.received_at_ms), visitor
            facts = reference.facts_by_key("visitor", log, POLICIES).get(visitor, [])
            assert tuple(row.visits) == reference.timeline(facts, POLICIES).visits, visitor


def last_visitor_rows_include_the_whole_log(outcome: Outcome) -> None:
    """Duplicates too."""
    for visitor, log in by_visitor(outcome).items():
        partition, offset = max((record.stamp.partition, record.stamp.offset) for record in log)
        assert outcome.visitor_rows[visitor][-1].offsets == {partition: offset}, visitor


def last_item_rows_are_right(outcome: Outcome) -> None:
    """The last row of every item equals the reference of the whole log."""
    facts = reference.facts_by_key("item", outcome.log, POLICIES)
    assert outcome.item_rows.keys() == facts.keys()
    for item, rows in outcome.item_rows.items():
        row = next(row for row in reversed(rows) if row.offsets == newest(rows))
        expected = reference.merged_values("item", facts[item], row.received_at_ms, POLICIES)
        assert stream_says("item", row) == plain(dict(expected)), item


def letters_are_right(outcome: Outcome) -> None:
    """Every refused record is a dead letter with its reason and place."""
    assert {(letter.partition, letter.offset): letter.reason for _, letter in outcome.letters} == outcome.refused


def by_visitor(outcome: Outcome) -> dict[str, list[LogRecord]]:
    logs: dict[str, list[LogRecord]] = defaultdict(list)
    for record in outcome.log:
        logs[record.event.visitor_id].append(record)
    return logs


def included(log: list[LogRecord], row: Row) -> list[LogRecord]:
    """The part of the log that a row says it includes."""
    return [record for record in log if record.stamp.offset <= row.offsets.get(record.stamp.partition, -1)]


def stream_says(entity: Entity, row: Row) -> dict[str, Any]:
    """The finished features of a row without any history."""
    merged = merge_cells(entity, None, stream_cells(entity, row))
    return plain({name: value for name, value in merged.items() if name not in PROVENANCE})


def reference_says(entity: Entity, key: str, log: list[LogRecord], as_of_ms: int) -> dict[str, Any]:
    facts = reference.facts_by_key(entity, log, POLICIES).get(key, [])
    return plain(dict(reference.merged_values(entity, facts, as_of_ms, POLICIES)))


def plain(cells: dict[str, Any]) -> dict[str, Any]:
    """Lists for tuples."""
    built: dict[str, Any] = msgspec.to_builtins(cells)
    return built
