"""The lake: one Delta table that holds every screened interaction, live and imported. This docstring is its contract.

Rows. One row is one record of the log that passed `domain.admission.screen`; duplicates and floods are still in it,
because they are decided in offset order (`domain.reference.admitted`), alike in every layer.
- (`partition`, `offset`) is the row's identity: Kafka's, or partition -1 and a row number for imported history.
- `received_at_ms` is Kafka's LogAppendTime; for history it equals `occurred_at_ms`.
- `bucket_ms` is the start of the record's bucket, and the partition column of the table: filter on it.
- `attributes` is the context's attributes as JSON text, null when there are none; everything else is as in
  `schemas.events`, with the context's fields flattened.
Rows are only appended. Their order within the table means nothing: sort by (`partition`, `offset`).

Progress. Delta's application transactions carry, in the same commit as the rows, how far the sources have come, so
that rows and progress cannot differ:
- `<topic>:<partition>`: the next offset to archive; every screened record below it is in the table.
- `<topic>:through`: an instant; every record that Kafka took before it is in the table or was refused.
- `import:<digest of a file>`: the rows that the file brought.
The period of the buckets stands in the table's property `firth.bucket_period_ms`, and cannot change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake import Field as DeltaField
from deltalake.exceptions import CommitFailedError

from domain.facts import Stamp
from domain.policies import BucketPolicy
from domain.reference import LogRecord
from schemas.errors import ConfigurationError, PlatformError
from schemas.events import InteractionContext, InteractionEvent

HISTORY_PARTITION: Final = -1
PARTITION_COLUMN: Final = "bucket_ms"
PERIOD_PROPERTY: Final = "firth.bucket_period_ms"

SCHEMA: Final = pa.schema(
    [
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("received_at_ms", pa.int64(), nullable=False),
        pa.field("bucket_ms", pa.int64(), nullable=False),
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
        pa.field("source", pa.string()),
        pa.field("weight", pa.float64()),
        pa.field("attributes", pa.string()),
        pa.field("schema_version", pa.int32(), nullable=False),
    ]
)

_EVENT_FIELDS: Final = (
    "event_id", "visitor_id", "item_id", "kind", "occurred_at_ms", "user_id", "session_id", "value", "slate_id",
    "position", "personalise", "schema_version",
)  # fmt: skip
_CONTEXT_FIELDS: Final = ("categories", "price_micros", "utc_offset_min", "device", "source", "weight")


class Overtaken(PlatformError):
    """Another process committed the same progress first: read it again and go on from there."""


class Lake:
    """The table at one version. `refresh` moves to the newest; `append` moves to the one that it wrote."""

    def __init__(self, table: DeltaTable) -> None:
        self._table = table

    @classmethod
    def open(cls, folder: Path, policy: BucketPolicy) -> Lake:
        """The table in `folder`, created when it is missing.

        Raises:
            ConfigurationError: the table was made with another bucket period.
        """
        folder.mkdir(parents=True, exist_ok=True)
        table = DeltaTable.create(
            folder,
            schema=SCHEMA,
            mode="ignore",
            partition_by=[PARTITION_COLUMN],
            name="interactions",
            configuration={PERIOD_PROPERTY: str(policy.period_ms)},
            raise_if_key_not_exists=False,
        )
        known = {field.name for field in table.schema().fields}
        missing = [DeltaField.from_arrow(field) for field in SCHEMA if field.name not in known]
        if missing:  # the table is older than the field: rows that lack it have null
            table.alter.add_columns(missing)
        period_ms = table.metadata().configuration.get(PERIOD_PROPERTY)
        if period_ms != str(policy.period_ms):
            raise ConfigurationError(
                "FIRTH_POLICIES",
                f"the bucket period is {policy.period_ms} ms, but the lake in {folder} was made with {period_ms}",
                "put the period back, or start with another FIRTH_STATE_DIR and replay",
            )
        return cls(table)

    @property
    def version(self) -> int:
        """The version of the table that is read, and that the next commit builds on."""
        return self._table.version()

    def refresh(self) -> None:
        """Move to the newest version."""
        self._table.update_incremental()

    def progress(self, mark: str) -> int | None:
        """What was last committed under a mark of the module's docstring; None when nothing was."""
        return self._table.transaction_version(mark)

    def append(self, rows: Iterable[pa.RecordBatch], progress: Mapping[str, int]) -> None:
        """Commit rows and progress together, or neither. Rows may be none.

        Raises:
            Overtaken: one of the marks was committed by another process since this version.
        """
        marks = [Transaction(mark, version) for mark, version in progress.items()]
        reader = pa.RecordBatchReader.from_batches(SCHEMA, rows)
        try:
            write_deltalake(
                self._table, reader, mode="append", commit_properties=CommitProperties(app_transactions=marks)
            )
        except CommitFailedError as error:
            raise Overtaken(
                f"{', '.join(progress)}: committed by another process after version {self.version}"
            ) from error

    def compact(self, below_ms: int) -> None:
        """Join the small files of the buckets that end by an instant. Readers of older versions keep their files."""
        period = int(self._table.metadata().configuration[PERIOD_PROPERTY])
        try:
            self._table.optimize.compact(partition_filters=[(PARTITION_COLUMN, "<=", str(below_ms - period))])
        except CommitFailedError as error:
            raise Overtaken(f"files below {below_ms} were joined by another process") from error

    def read(self, columns: Sequence[str] | None = None, where: Any = None) -> pa.Table:
        """Rows as Arrow; `where` is a pyarrow dataset expression. All of it is held in memory."""
        return self._table.to_pyarrow_dataset().to_table(
            columns=None if columns is None else list(columns), filter=where
        )

    def file_statistics(self) -> pa.Table:
        """One row a file, with the number of its records and the bounds of its columns, from the log alone."""
        return pa.table(self._table.get_add_actions(flatten=True))


def offset_mark(topic: str, partition: int) -> str:
    """The name under which the next offset of a partition is committed."""
    return f"{topic}:{partition}"


def through_mark(topic: str) -> str:
    """The name under which is committed up to which instant a topic is archived."""
    return f"{topic}:through"


def to_rows(records: Sequence[LogRecord], policy: BucketPolicy) -> pa.RecordBatch:
    """Screened records as rows of the table."""
    events = [record.event for record in records]
    contexts = [event.context for event in events]
    stamps = [record.stamp for record in records]
    columns: dict[str, list[Any]] = {
        "partition": [stamp.partition for stamp in stamps],
        "offset": [stamp.offset for stamp in stamps],
        "received_at_ms": [stamp.received_at_ms for stamp in stamps],
        "bucket_ms": [policy.start_of(stamp.received_at_ms) for stamp in stamps],
        "attributes": [_attributes_text(context) for context in contexts],
    }
    columns |= {name: [getattr(event, name) for event in events] for name in _EVENT_FIELDS}
    columns |= {name: [getattr(context, name) for context in contexts] for name in _CONTEXT_FIELDS}
    return pa.RecordBatch.from_arrays([pa.array(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def to_records(rows: pa.Table | pa.RecordBatch) -> list[LogRecord]:
    """Rows of the table (all columns) as the records that they were made of."""
    return [_to_record(row) for row in rows.to_pylist()]


def _to_record(row: dict[str, Any]) -> LogRecord:
    context = InteractionContext(
        categories=tuple(row["categories"]),
        attributes=msgspec.json.decode(row["attributes"]) if row["attributes"] else {},
        **{name: row[name] for name in _CONTEXT_FIELDS if name != "categories"},
    )
    event = InteractionEvent(context=context, **{name: row[name] for name in _EVENT_FIELDS})
    return LogRecord(event, Stamp(row["received_at_ms"], row["partition"], row["offset"]))


def _attributes_text(context: InteractionContext) -> str | None:
    return msgspec.json.encode(context.attributes).decode() if context.attributes else None
