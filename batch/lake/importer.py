"""The importer: history from a file into the lake, as one commit or not at all.

Rows get partition -1 and a number that continues after the newest imported row, in the order of `occurred_at_ms`
(then of the file); `received_at_ms` equals `occurred_at_ms`, so a row's bucket is the one in which it happened. They
must lie below the first live bucket, so that no bucket has two sources. Where that is, the lake knows only as far as
it was archived: so the topic is archived to its end first. Without a broker the lake alone decides, and that is said.
A file is known by the digest of its content: importing it again changes nothing. Two overlapping exports of one
source bring the same event ids, which admission then counts once.
Rows that break the contract go to a quarantine file, and too many of them refuse the whole import.
Memory: all valid rows are held as Arrow, and once more while they are sorted: at most about 1 KB a row (1.2 GB for a
million, measured). Split a larger file by time, oldest part first.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from batch.lake.archiver import archive_to_end
from batch.lake.files import SourceRow, open_file
from batch.lake.interactions import HISTORY_PARTITION, INTERACTIONS, SCHEMA
from batch.lake.mapping import ColumnMapping, RowReader
from batch.lake.table import Lake, Overtaken, offset_mark
from domain.facts import Stamp
from domain.policies import BucketPolicy
from domain.reference import LogRecord
from infra.settings import Settings
from schemas.errors import ContractError, DependencyError, Reason, RejectedEvent

CHUNK_ROWS: Final = 10_000
COMMIT_TRIES: Final = 10
NEXT_ROW: Final = offset_mark("import", HISTORY_PARTITION)

log = logging.getLogger(__name__)


class ImportRefused(ContractError):
    """The file as a whole must not enter the lake; nothing was written."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did. `skipped` rows are in the lake from an earlier import of the same file.

    `is_archived_to_end`: the topic was archived before it was decided where live traffic begins. If not, no broker
    answered, or nothing was left to decide because the file was skipped.
    """

    rows: int = 0
    rejected: int = 0
    skipped: int = 0
    first_at_ms: int | None = None
    last_at_ms: int | None = None
    quarantine: Path | None = None
    is_archived_to_end: bool = False


def import_file(
    path: Path, mapping: ColumnMapping, settings: Settings, *, now_ms: int, rejected_share_max: float = 0.01
) -> Imported:
    """Bring a file's rows into the lake.

    Raises:
        UnreadableFile, UnusableMapping: the file is not what was said about it.
        ConsistencyError: the lake and the topic do not belong together, or records expired before they were archived.
        ImportRefused: it has no rows, too many that break the contract, or rows of live buckets.
    """
    lake = Lake.open(settings.lake_dir, settings.policies.bucket)
    digest = _digest(path)
    known = lake.progress(_file_mark(digest))
    if known is not None:
        log.info("file.skipped", extra={"file": str(path), "rows": known})
        return Imported(skipped=known)
    quarantine = settings.state_dir / "quarantine" / f"{digest[:16]}.jsonl"
    rows, rejected = _read(path, mapping, settings.policies.bucket, quarantine)
    _refuse_too_many(rejected, rows.num_rows, rejected_share_max, path, quarantine)
    is_archived = _is_archived_to_end(settings)
    lake.refresh()
    written = _append(
        lake, rows.sort_by([("occurred_at_ms", "ascending"), ("offset", "ascending")]), digest, settings, now_ms
    )
    at_ms = rows["occurred_at_ms"]
    return Imported(
        rows=written,
        rejected=rejected,
        skipped=rows.num_rows - written,
        first_at_ms=pc.min(at_ms).as_py(),
        last_at_ms=pc.max(at_ms).as_py(),
        quarantine=quarantine if rejected else None,
        is_archived_to_end=is_archived,
    )


def first_live_bucket(lake: Lake, policy: BucketPolicy, now_ms: int) -> int:
    """Where history must end: the oldest bucket with a row from Kafka, else the current one."""
    files = lake.file_statistics()
    live = files.filter(pc.greater(files["max.partition"], HISTORY_PARTITION))
    oldest = pc.min(live["partition.bucket_ms"]).as_py() if live.num_rows else None
    return policy.start_of(now_ms) if oldest is None else int(oldest)


def _is_archived_to_end(settings: Settings) -> bool:
    """Archive what the topic holds; False when no broker answers or the topic is missing, as before the first start."""
    try:
        archive_to_end(settings)
    except DependencyError as error:
        log.warning("topic.unseen", extra={"problem": str(error)})
        return False
    return True


def _append(lake: Lake, rows: pa.Table, digest: str, settings: Settings, now_ms: int) -> int:
    """Commit the sorted rows; returns how many, 0 when another import of the same file was first."""
    for _ in range(COMMIT_TRIES):
        _refuse_live_buckets(rows, first_live_bucket(lake, settings.policies.bucket, now_ms))
        start = lake.progress(NEXT_ROW) or 0
        end = start + len(rows)
        numbered = rows.set_column(
            SCHEMA.get_field_index("offset"), SCHEMA.field("offset"), pa.array(range(start, end), pa.int64())
        )
        try:
            lake.append(numbered.to_batches(), {_file_mark(digest): end - start, NEXT_ROW: end})
        except Overtaken:
            lake.refresh()
            if lake.progress(_file_mark(digest)) is not None:
                return 0
        else:
            return end - start
    raise Overtaken(f"other imports were first {COMMIT_TRIES} times: run one import at a time")


def _read(path: Path, mapping: ColumnMapping, policy: BucketPolicy, quarantine: Path) -> tuple[pa.Table, int]:
    """The valid rows, with their number in the file as offset, and how many were put into quarantine."""
    file = open_file(path)
    reader = RowReader(mapping, file.columns)
    batches: list[pa.RecordBatch] = []
    records: list[LogRecord] = []
    rejected = 0
    with _rejecting_into(quarantine) as reject:
        for row in file.rows(reader.columns):
            try:
                records.append(_to_record(row, reader))
            except RejectedEvent as error:
                reject(row, error)
                rejected += 1
            if len(records) >= CHUNK_ROWS:
                batches.append(INTERACTIONS.to_rows(records, policy))
                records = []
    batches.append(INTERACTIONS.to_rows(records, policy))
    return pa.Table.from_batches(batches, SCHEMA), rejected


def _to_record(row: SourceRow, reader: RowReader) -> LogRecord:
    if row.problem:
        raise RejectedEvent(Reason.MALFORMED, "", row.problem)
    event = reader.to_event(row.cells)
    return LogRecord(event, Stamp(event.occurred_at_ms, HISTORY_PARTITION, row.number))


@contextmanager
def _rejecting_into(path: Path) -> Iterator[Callable[[SourceRow, RejectedEvent], None]]:
    """Gives a function that adds a row to the quarantine file, which is new, and made only when it is needed."""
    path.unlink(missing_ok=True)
    opened: list[Any] = []

    def reject(row: SourceRow, error: RejectedEvent) -> None:
        if not opened:
            path.parent.mkdir(parents=True, exist_ok=True)
            opened.append(path.open("w"))
        line = {
            "row": row.number,
            "reason": error.reason,
            "field": error.field,
            "detail": error.detail,
            "cells": row.cells,
        }
        opened[0].write(json.dumps(line, default=str, ensure_ascii=False) + "\n")

    try:
        yield reject
    finally:
        for stream in opened:
            stream.close()


def _refuse_too_many(rejected: int, valid: int, share_max: float, path: Path, quarantine: Path) -> None:
    if rejected > share_max * (rejected + valid):
        raise ImportRefused(
            f"{path}: {rejected} of {rejected + valid} rows break the contract, at most {share_max:.1%} may: "
            f"read {quarantine}, then correct the mapping or the file, or raise --max-rejected-share"
        )
    if not valid:
        raise ImportRefused(f"{path} has no rows")


def _refuse_live_buckets(rows: pa.Table, first_live_ms: int) -> None:
    live = pc.sum(pc.greater_equal(rows["bucket_ms"], first_live_ms)).as_py()
    if live:
        raise ImportRefused(
            f"{live} of {rows.num_rows} rows happened at or after {first_live_ms} ms, where live traffic begins: "
            "send those to the interactions topic or to POST /v1/events instead, and import only what is older"
        )


def _file_mark(digest: str) -> str:
    return f"import:{digest}"


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ImportRefused(f"{path}: {error.strerror}") from error
