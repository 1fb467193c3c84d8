"""The table of impressions: every screened one. This docstring is its contract.

One row is one record of the topic that passed `domain.impressions.screen_impression`; a slate id may be in several of
them, of which `domain.impressions` counts the first.
- (`partition`, `offset`) is the row's identity, `received_at_ms` Kafka's LogAppendTime.
- `items` are in shown order, `propensities` aligned with them; everything else is as in `schemas.events`.
- `assigned` is null in rows from before experiments.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from batch.lake.layout import PARTITION_COLUMN, STAMP_FIELDS, Layout, columns_of, stamp_of
from batch.lake.table import Lake
from domain.facts import Stamp
from domain.impressions import ImpressionRecord, screen_impression
from domain.policies import AdmissionPolicy
from schemas import topics
from schemas.events import AssignedArm, ImpressionEvent

ASSIGNED: Final = pa.struct(
    [pa.field("experiment", pa.string()), pa.field("arm", pa.string()), pa.field("propensity", pa.float64())]
)

SCHEMA: Final = pa.schema(
    [
        *STAMP_FIELDS,
        pa.field("slate_id", pa.string(), nullable=False),
        pa.field("visitor_id", pa.string(), nullable=False),
        pa.field("items", pa.list_(pa.string()), nullable=False),
        pa.field("shown_at_ms", pa.int64(), nullable=False),
        pa.field("policy", pa.string(), nullable=False),
        pa.field("arm", pa.string(), nullable=False),
        pa.field("propensities", pa.list_(pa.float64()), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("degraded", pa.list_(pa.string()), nullable=False),
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("assigned", pa.list_(ASSIGNED)),
    ]
)

_FIELDS: Final = tuple(SCHEMA.names[len(STAMP_FIELDS) :])
_TUPLES: Final = ("items", "propensities", "degraded")
_PLAIN: Final = tuple(name for name in _FIELDS if name != "assigned")


def to_records(rows: pa.Table | pa.RecordBatch) -> list[ImpressionRecord]:
    """Rows of the table (all columns) as the records that they were made of."""
    return [_to_record(row) for row in rows.to_pylist()]


def read_slates_with(lake: Lake, items: Collection[str], cutoff_ms: int) -> list[ImpressionRecord]:
    """All records of every slate that shows one of the items, of the buckets below the cutoff.

    That is what `domain.impressions.impression_counts` needs to know these items. Memory: the slate ids and their
    records, about 1 KB each; the table itself is read in batches.
    """
    below = ds.field(PARTITION_COLUMN) < cutoff_ms
    wanted, slates = pa.array(list(items), pa.string()), set[str]()
    for batch in lake.batches(["slate_id", "items"], below):
        shown = batch["items"]
        rows = pc.list_parent_indices(shown).filter(pc.is_in(shown.flatten(), value_set=wanted))
        slates.update(batch["slate_id"].take(rows.unique()).to_pylist())
    return to_records(lake.read(where=below & ds.field("slate_id").isin(pa.array(sorted(slates), pa.string()))))


def _screen(key: str, raw: bytes, stamp: Stamp, _: AdmissionPolicy) -> ImpressionRecord:
    return ImpressionRecord(screen_impression(key, raw), stamp)


def _to_columns(records: Sequence[ImpressionRecord]) -> dict[str, Sequence[Any]]:
    events = [record.event for record in records]
    assigned = [[msgspec.structs.asdict(arm) for arm in event.assigned] for event in events]
    return columns_of(events, _PLAIN) | {"assigned": assigned}


def _to_record(row: dict[str, Any]) -> ImpressionRecord:
    cells: dict[str, Any] = {name: tuple(row[name]) if name in _TUPLES else row[name] for name in _PLAIN}
    assigned = tuple(AssignedArm(**arm) for arm in row["assigned"] or ())
    return ImpressionRecord(ImpressionEvent(assigned=assigned, **cells), stamp_of(row))


IMPRESSIONS: Final = Layout(topics.IMPRESSIONS, lambda settings: settings.impressions_dir, SCHEMA, _screen, _to_columns)
