"""Quarantine: rows of the lake that break the contract are counted, written beside, and kept out of a daily run.

The archiver and the importer let nothing in that breaks it, so such a row is another program's work or a damaged file.
It cannot be repaired here, and must neither stop the platform for ever nor pass in silence. The rules are those of
`schemas.events` on the columns of a table, plus what Kafka cannot have said (a bucket that is not the timestamp's).
Memory: one batch of rows of one file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from batch.lake.impressions import IMPRESSIONS
from batch.lake.interactions import HISTORY_PARTITION, INTERACTIONS
from batch.lake.layout import PARTITION_COLUMN, Layout
from batch.lake.table import Lake
from domain.policies import BucketPolicy
from schemas.errors import ConsistencyError, ContractError
from schemas.events import (
    CATEGORIES_MAX,
    IDENTIFIER_MAX,
    INSTANT_MAX,
    KINDS,
    PRICE_MICROS_MAX,
    SHOWN_MAX,
    UTC_OFFSET_MIN_MAX,
    VALUE_MAX,
    WEIGHT_MAX,
    WEIGHT_MIN,
)

IDENTIFIER_BYTES_MAX: Final = 4 * IDENTIFIER_MAX
"""Of characters of four bytes each."""

SCHEMA: Final = pa.schema(
    [
        pa.field("partition", pa.int32()),
        pa.field("offset", pa.int64()),
        pa.field("reason", pa.string()),
        pa.field("file", pa.string()),
        pa.field("row", pa.string()),
    ]
)
"""The file of a quarantine. `row` is the whole row as JSON."""


class TooManyQuarantined(ContractError):
    """So many rows break the contract that a run without them would say something else than the log."""

    def __init__(self, table: str, quarantined: int, rows: int, share_max: float, path: Path) -> None:
        self.quarantined, self.rows, self.path = quarantined, rows, path
        super().__init__(
            f"{quarantined:,} of {rows:,} rows of {table} break the contract, at most {share_max:.2%} may: "
            f"read {path} (reason, file, row); restore those files, or go on without the rows by "
            f"FIRTH_BATCH__QUARANTINE_SHARE_MAX={min(1.0, quarantined / rows * 1.01):.4g}"
        )


class UnreadableLake(ConsistencyError):
    """A file that the table names is missing, or is no Parquet file any more."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(
            f"{path}: {problem}; restore the file, or archive again into another FIRTH_STATE_DIR what Kafka has"
        )


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What was found in one table."""

    rows: int
    quarantined: int
    reasons: Mapping[str, int]


def quarantine(
    lake: Lake, layout: Layout[Any], policy: BucketPolicy, *, cutoff_ms: int, folder: Path, share_max: float
) -> Quarantined:
    """Look at every row below the cutoff; those that break the contract go to `quarantine_file(folder, layout)`.

    Raises:
        TooManyQuarantined: their share is above `share_max`; the file is complete nevertheless.
        UnreadableLake: a data file cannot be read.
    """
    path, reasons, rows = quarantine_file(folder, layout), Counter[str](), 0
    waiting = path.with_suffix(".waiting")
    with pq.ParquetWriter(waiting, SCHEMA) as writer:
        for file, batch in _rows_below(lake, cutoff_ms):
            rows += batch.num_rows
            found = breaches(batch, layout, policy)
            if found:
                writer.write_table(_told(batch, found, file))
                reasons.update(found.values())
    if reasons:
        waiting.replace(path)
    else:
        waiting.unlink()
        path.unlink(missing_ok=True)
    if rows and reasons.total() > share_max * rows:
        raise TooManyQuarantined(layout.name, reasons.total(), rows, share_max, path)
    return Quarantined(rows, reasons.total(), dict(reasons))


def quarantine_file(folder: Path, layout: Layout[Any]) -> Path:
    """Where the rows of a table go; absent when none broke the contract."""
    return folder / f"quarantine-{layout.name}.parquet"


def breaches(batch: pa.RecordBatch, layout: Layout[Any], policy: BucketPolicy) -> dict[int, str]:
    """The number of each row that breaks the contract, and the first reason."""
    found: dict[int, str] = {}
    for reason, is_broken in (*_of_stamps(batch, policy), *_RULES[layout.name](batch)):
        rows = pc.indices_nonzero(pc.fill_null(is_broken, fill_value=True)).to_pylist()
        for row in rows:
            found.setdefault(row, reason)
    return found


def _rows_below(lake: Lake, cutoff_ms: int) -> Iterator[tuple[str, pa.RecordBatch]]:
    for file, read in lake.files(ds.field(PARTITION_COLUMN) < cutoff_ms):
        try:
            for batch in read():
                yield file, batch
        except (OSError, pa.ArrowInvalid) as error:
            raise UnreadableLake(lake.folder / file, str(error).partition("\n")[0]) from error


def _told(batch: pa.RecordBatch, found: Mapping[int, str], file: str) -> pa.Table:
    rows = batch.take(pa.array(sorted(found), pa.int64()))
    cells = {
        "partition": rows["partition"],
        "offset": rows["offset"],
        "reason": [found[number] for number in sorted(found)],
        "file": [file] * rows.num_rows,
        "row": [msgspec.json.encode(row, enc_hook=str).decode() for row in rows.to_pylist()],
    }
    return pa.table(cells, schema=SCHEMA)


def _of_stamps(batch: pa.RecordBatch, policy: BucketPolicy) -> Iterator[tuple[str, Any]]:
    received, bucket = batch["received_at_ms"], batch[PARTITION_COLUMN]
    before = pc.subtract(received, bucket)
    yield "partition", pc.less(batch["partition"], HISTORY_PARTITION)
    yield "offset", pc.less(batch["offset"], 0)
    yield "received_at_ms", _beyond(received, 0, INSTANT_MAX)
    yield PARTITION_COLUMN, pc.or_(_beyond(before, 0, policy.period_ms - 1), _is_within_a_period(bucket, policy))


def _is_within_a_period(bucket: Any, policy: BucketPolicy) -> Any:
    """Whether these instants are no boundary between two buckets."""
    floored = pc.multiply(pc.divide(bucket, policy.period_ms), policy.period_ms)
    return pc.not_equal(floored, bucket)


def _of_interactions(batch: pa.RecordBatch) -> Iterator[tuple[str, Any]]:
    for name in ("event_id", "visitor_id", "item_id"):
        yield name, _beyond(pc.binary_length(batch[name]), 1, IDENTIFIER_BYTES_MAX)
    yield "kind", pc.invert(pc.is_in(batch["kind"], value_set=pa.array(KINDS)))
    yield "occurred_at_ms", _beyond(batch["occurred_at_ms"], 0, INSTANT_MAX)
    yield "value", _if_given(batch["value"], pc.invert(pc.less_equal(pc.abs(batch["value"]), VALUE_MAX)))
    yield "personalise", pc.is_null(batch["personalise"])
    yield "categories", _beyond(pc.list_value_length(batch["categories"]), 0, CATEGORIES_MAX)
    yield "utc_offset_min", _beyond(batch["utc_offset_min"], -UTC_OFFSET_MIN_MAX, UTC_OFFSET_MIN_MAX)
    yield "price_micros", _if_given(batch["price_micros"], _beyond(batch["price_micros"], 0, PRICE_MICROS_MAX))
    weight = batch["weight"]
    fits = pc.and_(pc.greater_equal(weight, WEIGHT_MIN), pc.less_equal(weight, WEIGHT_MAX))
    yield "weight", _if_given(weight, pc.invert(fits))
    yield "attributes", _is_no_object(batch["attributes"])


def _of_impressions(batch: pa.RecordBatch) -> Iterator[tuple[str, Any]]:
    for name in ("slate_id", "visitor_id"):
        yield name, _beyond(pc.binary_length(batch[name]), 1, IDENTIFIER_BYTES_MAX)
    yield "items", _beyond(pc.list_value_length(batch["items"]), 0, SHOWN_MAX)
    yield "shown_at_ms", _beyond(batch["shown_at_ms"], 0, INSTANT_MAX)


def _beyond(numbers: Any, lowest: int, highest: int) -> Any:
    """Whether each lies outside; null for null, which is broken too."""
    return pc.or_(pc.less(numbers, lowest), pc.greater(numbers, highest))


def _if_given(cells: Any, is_broken: Any) -> Any:
    """A cell that may be missing breaks nothing when it is."""
    return pc.and_kleene(pc.is_valid(cells), is_broken)


def _is_no_object(texts: Any) -> Any:
    """Whether each text that is given is anything but a JSON object; few events have attributes."""
    if texts.null_count == len(texts):
        return pc.is_valid(texts)
    return pa.array([text is not None and not _is_object(text) for text in texts.to_pylist()], pa.bool_())


def _is_object(text: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(text), dict)
    except msgspec.DecodeError:
        return False


_RULES: Final[Mapping[str, Any]] = {INTERACTIONS.name: _of_interactions, IMPRESSIONS.name: _of_impressions}
