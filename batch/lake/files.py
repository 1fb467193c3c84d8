"""Files of history, row by row: Parquet, CSV (or TSV) and JSON lines, read in bounded batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
from pyarrow import csv, parquet

from schemas.errors import ContractError

BATCH_ROWS: Final = 10_000


class UnreadableFile(ContractError):
    """A file is not what its name says, or its name says nothing."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One row. With a `problem` it could not be split into cells, and `cells` has only its text."""

    number: int
    cells: dict[str, Any]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The names of the columns, and the rows. Cells of CSV are text; those of Parquet and JSON have their types."""

    columns: list[str]
    rows: Callable[[Collection[str]], Iterator[SourceRow]] = field(repr=False)


def open_file(path: Path) -> SourceFile:
    """The file as its suffix says: `.parquet`, `.csv`, `.tsv`, `.jsonl` or `.ndjson`.

    `rows` takes the columns that are wanted. JSON lines tell their columns by the first line.

    Raises:
        UnreadableFile: another suffix, a missing file, or content of another format.
    """
    opened = {
        ".parquet": _open_parquet,
        ".csv": _open_csv,
        ".tsv": _open_csv,
        ".jsonl": _open_json_lines,
        ".ndjson": _open_json_lines,
    }.get(path.suffix.lower())
    if opened is None:
        raise UnreadableFile(f"{path}: a file of history ends with .parquet, .csv, .tsv, .jsonl or .ndjson")
    try:
        return opened(path)
    except (OSError, pa.ArrowInvalid, msgspec.DecodeError) as error:
        raise UnreadableFile(f"{path}: {error}") from error


def _open_parquet(path: Path) -> SourceFile:
    names = parquet.read_schema(path).names

    def rows(wanted: Collection[str]) -> Iterator[SourceRow]:
        number = 0
        columns = [name for name in names if name in wanted]
        for batch in parquet.ParquetFile(path).iter_batches(BATCH_ROWS, columns=columns):
            for cells in _with_millisecond_times(batch).to_pylist():
                number += 1
                yield SourceRow(number, cells)

    return SourceFile(names, rows)


def _with_millisecond_times(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Timestamps cut to milliseconds, because Python's datetime has no nanoseconds."""
    arrays = [
        column.cast(pa.timestamp("ms", column.type.tz), safe=False) if pa.types.is_timestamp(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _open_csv(path: Path) -> SourceFile:
    broken: list[SourceRow] = []

    def keep_broken(row: Any) -> str:
        problem = f"{row.actual_columns} cells, the header has {row.expected_columns}"
        broken.append(SourceRow(row.number or 0, {"text": row.text}, problem))
        return "skip"

    parsing = csv.ParseOptions(
        delimiter="\t" if path.suffix.lower() == ".tsv" else ",",
        invalid_row_handler=keep_broken,
        newlines_in_values=True,
    )
    reading = csv.ReadOptions(use_threads=False)
    with csv.open_csv(path, reading, parsing) as first:
        names = first.schema.names

    def rows(wanted: Collection[str]) -> Iterator[SourceRow]:
        broken.clear()
        number = 0
        columns = [name for name in names if name in wanted]
        as_text = csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            include_columns=columns,
            strings_can_be_null=True,
            null_values=[""],
        )
        with csv.open_csv(path, reading, parsing, as_text) as reader:
            for batch in reader:
                for cells in batch.to_pylist():
                    number += 1
                    yield SourceRow(number, cells)
                yield from broken
                broken.clear()

    return SourceFile(names, rows)


def _open_json_lines(path: Path) -> SourceFile:
    with path.open("rb") as lines:
        first = next((line for line in lines if line.strip()), b"{}")
    names = sorted(msgspec.json.decode(first, type=dict[str, Any]))

    def rows(wanted: Collection[str]) -> Iterator[SourceRow]:
        decoder = msgspec.json.Decoder(dict[str, Any])
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    cells = decoder.decode(line)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    yield SourceRow(number, {"text": line.decode(errors="replace").rstrip("\n")}, str(error))
                else:
                    yield SourceRow(number, {name: cells[name] for name in wanted if name in cells})

    return SourceFile(names, rows)
