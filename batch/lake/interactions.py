"""The table of interactions: every screened one, live and imported. This docstring is its contract.

One row is one record of the log that passed `domain.admission.screen`; duplicates and floods are still in it, because
they are decided in offset order (`domain.reference.admitted`), alike in every layer.
- (`partition`, `offset`) is the row's identity: Kafka's, or partition -1 and a row number for imported history.
- `received_at_ms` is Kafka's LogAppendTime; for history it equals `occurred_at_ms`.
- `attributes` is the context's attributes as JSON text, null when there are none; everything else is as in
  `schemas.events`, with the context's fields flattened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import pyarrow as pa

from batch.lake.layout import STAMP_FIELDS, Layout, columns_of, stamp_of
from domain.admission import screen
from domain.facts import Stamp
from domain.policies import AdmissionPolicy
from domain.reference import LogRecord
from schemas import topics
from schemas.events import InteractionContext, InteractionEvent

HISTORY_PARTITION: Final = -1

SCHEMA: Final = pa.schema(
    [
        *STAMP_FIELDS,
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("visitor_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("occurred_at_ms", pa.int64(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("session_id", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("slate_id", pa.string()),
        pa.field("position", pa.int32()),
        pa.field("personalise", pa.bool_(), nullable=False),
        pa.field("categories", pa.list_(pa.string()), nullable=False),
        pa.field("price_micros", pa.int64()),
        pa.field("utc_offset_min", pa.int32(), nullable=False),
        pa.field("device", pa.string()),
        pa.field("attributes", pa.string()),
        pa.field("schema_version", pa.int32(), nullable=False),
        pa.field("source", pa.string()),
        pa.field("weight", pa.float64()),
    ]
)

_EVENT_FIELDS: Final = (
    "event_id", "visitor_id", "item_id", "kind", "occurred_at_ms", "user_id", "session_id", "value", "slate_id",
    "position", "personalise", "schema_version",
)  # fmt: skip
_CONTEXT_FIELDS: Final = ("categories", "price_micros", "utc_offset_min", "device", "source", "weight")


def to_records(rows: pa.Table | pa.RecordBatch) -> list[LogRecord]:
    """Rows of the table (all columns) as the records that they were made of."""
    return [_to_record(row) for row in rows.to_pylist()]


def _screen(key: str, raw: bytes, stamp: Stamp, policy: AdmissionPolicy) -> LogRecord:
    return LogRecord(screen(key, raw, stamp, policy), stamp)


def _to_columns(records: Sequence[LogRecord]) -> dict[str, Sequence[Any]]:
    events = [record.event for record in records]
    contexts = [event.context for event in events]
    columns = columns_of(events, _EVENT_FIELDS) | columns_of(contexts, _CONTEXT_FIELDS)
    return columns | {"attributes": [_attributes_text(context) for context in contexts]}


def _to_record(row: dict[str, Any]) -> LogRecord:
    context = InteractionContext(
        categories=tuple(row["categories"]),
        attributes=msgspec.json.decode(row["attributes"]) if row["attributes"] else {},
        **{name: row[name] for name in _CONTEXT_FIELDS if name != "categories"},
    )
    return LogRecord(InteractionEvent(context=context, **{name: row[name] for name in _EVENT_FIELDS}), stamp_of(row))


def _attributes_text(context: InteractionContext) -> str | None:
    return msgspec.json.encode(context.attributes).decode() if context.attributes else None


INTERACTIONS: Final = Layout(topics.INTERACTIONS, lambda settings: settings.lake_dir, SCHEMA, _screen, _to_columns)
