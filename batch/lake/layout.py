"""How the records of a topic stand in a table of the lake: columns, and how rows are made of records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

import pyarrow as pa

from domain.facts import Stamp
from domain.policies import AdmissionPolicy, BucketPolicy
from infra.settings import Settings
from schemas.topics import Topic

PARTITION_COLUMN: Final = "bucket_ms"

STAMP_FIELDS: Final = (
    pa.field("partition", pa.int32(), nullable=False),
    pa.field("offset", pa.int64(), nullable=False),
    pa.field("received_at_ms", pa.int64(), nullable=False),
    pa.field(PARTITION_COLUMN, pa.int64(), nullable=False),
)
"""What every table begins with: where and when Kafka took the record, and its bucket."""


class Stamped(Protocol):
    """A record of a log."""

    @property
    def stamp(self) -> Stamp:
        """Where and when Kafka took it."""


RecordT = TypeVar("RecordT", bound=Stamped)


@dataclass(frozen=True, slots=True)
class Layout(Generic[RecordT]):
    """One table: the topic that fills it, its folder, its columns, and what to do with a record.

    `screen` takes a record's key, value and stamp, and raises RejectedEvent; `to_columns` gives the columns behind
    those of the stamp, one cell a record. A column that was added later is nullable: old rows do not have it.
    """

    topic: Topic
    folder: Callable[[Settings], Path]
    schema: pa.Schema
    screen: Callable[[str, bytes, Stamp, AdmissionPolicy], RecordT]
    to_columns: Callable[[Sequence[RecordT]], dict[str, Sequence[Any]]]

    @property
    def name(self) -> str:
        """The name of the table."""
        return self.topic.name

    def to_rows(self, records: Sequence[RecordT], policy: BucketPolicy) -> pa.RecordBatch:
        """Screened records as rows of the table."""
        stamps = [record.stamp for record in records]
        columns = {
            "partition": [stamp.partition for stamp in stamps],
            "offset": [stamp.offset for stamp in stamps],
            "received_at_ms": [stamp.received_at_ms for stamp in stamps],
            PARTITION_COLUMN: [policy.start_of(stamp.received_at_ms) for stamp in stamps],
        } | self.to_columns(records)
        arrays = [pa.array(columns[field.name], field.type) for field in self.schema]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def columns_of(things: Sequence[Any], names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """One column for each named attribute. The loop over things and names runs in C: most of what a row costs."""
    if not things:
        return dict.fromkeys(names, ())
    return dict(zip(names, zip(*map(attrgetter(*names), things), strict=True), strict=True))


def stamp_of(row: dict[str, Any]) -> Stamp:
    """The stamp of a row."""
    return Stamp(row["received_at_ms"], row["partition"], row["offset"])
