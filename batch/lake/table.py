"""The lake: a Delta table for each archived topic. This docstring is the contract of all of them.

Rows. One row is one screened record of a log; its columns are those of the table's layout (`batch.lake.interactions`,
`batch.lake.impressions`). `bucket_ms` is the start of the record's bucket, and the partition column: filter on it.
Rows are only appended. Their order within the table means nothing: sort by (`partition`, `offset`).

Progress. Delta's application transactions carry, in the same commit as the rows, how far the sources have come, so
that rows and progress cannot differ:
- `<topic>:<partition>`: the next offset to archive; every screened record below it is in the table.
- `<topic>:through`: an instant; every record that Kafka took before it is in the table or was refused.
- `import:<digest of a file>`: the rows that the file brought.
The period of the buckets stands in the table's property `firth.bucket_period_ms`, and cannot change. Columns that a
newer version brings are added to a table that lacks them, with nulls in the rows that are there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Schema, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from batch.lake.interactions import INTERACTIONS
from batch.lake.layout import PARTITION_COLUMN, Layout
from domain.policies import BucketPolicy
from infra.settings import Settings
from schemas.errors import ConfigurationError, PlatformError

PERIOD_PROPERTY: Final = "firth.bucket_period_ms"

log = logging.getLogger(__name__)


class Overtaken(PlatformError):
    """Another process committed the same progress first: read it again and go on from there."""


class Compacted(NamedTuple):
    """Files before and after; both 0 when nothing was to be joined."""

    removed: int
    added: int


class Lake:
    """The table at one version. `refresh` moves to the newest; `append` moves to the one that it wrote."""

    def __init__(self, table: DeltaTable, folder: Path, schema: pa.Schema) -> None:
        self._table = table
        self._folder = folder
        self._schema = schema

    @classmethod
    def open(cls, folder: Path, policy: BucketPolicy, layout: Layout[Any] = INTERACTIONS) -> Lake:
        """The table in `folder`, created when it is missing, with every column of its layout.

        Raises:
            ConfigurationError: the table was made with another bucket period.
        """
        folder.mkdir(parents=True, exist_ok=True)
        table = DeltaTable.create(
            folder,
            schema=layout.schema,
            mode="ignore",
            partition_by=[PARTITION_COLUMN],
            name=layout.name,
            configuration={PERIOD_PROPERTY: str(policy.period_ms)},
            raise_if_key_not_exists=False,
        )
        period_ms = table.metadata().configuration.get(PERIOD_PROPERTY)
        if period_ms != str(policy.period_ms):
            raise ConfigurationError(
                "FIRTH_POLICIES",
                f"the bucket period is {policy.period_ms} ms, but the lake in {folder} was made with {period_ms}",
                "put the period back, or start with another FIRTH_STATE_DIR and replay",
            )
        _add_columns(table, layout.schema)
        return cls(table, folder, layout.schema)

    @classmethod
    def at_version(cls, settings: Settings, layout: Layout[Any], version: int) -> Lake:
        """A table as it was, to read."""
        folder = layout.folder(settings)
        return cls(DeltaTable(folder, version=version), folder, layout.schema)

    @property
    def version(self) -> int:
        """The version of the table that is read, and that the next commit builds on."""
        return self._table.version()

    @property
    def folder(self) -> Path:
        """Where the table is."""
        return self._folder

    def refresh(self) -> None:
        """Move to the newest version."""
        self._table.update_incremental()

    def progress(self, mark: str) -> int | None:
        """What was last committed under a mark of the module's docstring; None when nothing was."""
        return self._table.transaction_version(mark)

    def append(
        self,
        rows: Iterable[pa.RecordBatch],
        progress: Mapping[str, int],
        *,
        known: Mapping[str, int | None] | None = None,
    ) -> None:
        """Commit rows and progress together, or neither. Rows may be none.

        `known` is the progress that the rows were read behind. Delta finds what was committed after this version; what
        came with it, as when files were joined, shows only here.

        Raises:
            Overtaken: one of the marks was committed by another process.
        """
        overtaken = [mark for mark, version in (known or {}).items() if self.progress(mark) != version]
        if overtaken:
            raise Overtaken(f"{', '.join(overtaken)}: committed by another process before version {self.version}")
        marks = [Transaction(mark, version) for mark, version in progress.items()]
        reader = pa.RecordBatchReader.from_batches(self._schema, rows)
        try:
            write_deltalake(
                self._table,
                reader,
                mode="append",
                schema_mode="merge" if self._lacks_columns() else None,
                commit_properties=CommitProperties(app_transactions=marks),
            )
        except CommitFailedError as error:
            raise Overtaken(
                f"{', '.join(progress)}: committed by another process after version {self.version}"
            ) from error

    def _lacks_columns(self) -> bool:
        """Whether a newer release has added columns: this one leaves them empty, and need not stop for that."""
        return len(self._table.schema().fields) > len(self._schema)

    def compact(self, below_ms: int | None = None) -> Compacted:
        """Join the small files of the buckets that end by an instant, or of all.

        Readers of older versions keep their files, and whoever appends meanwhile is not in the way: rows are added
        to other files, and a commit of both is either's.

        Raises:
            Overtaken: another process joined some of the same files. This one has changed nothing.
        """
        period = int(self._table.metadata().configuration[PERIOD_PROPERTY])
        ended = None if below_ms is None else [(PARTITION_COLUMN, "<=", str(below_ms - period))]
        try:
            done = self._table.optimize.compact(partition_filters=ended)
        except CommitFailedError as error:
            raise Overtaken("the same files were joined by another process") from error
        return Compacted(done["numFilesRemoved"], done["numFilesAdded"])

    def vacuum(self, retention_h: int, kept_versions: Collection[int], *, dry_run: bool) -> list[str]:
        """Delete the files that no row of this version is in; returns their names.

        What left the table within the last `retention_h` hours stays, for readers that began before; so do the files
        of the kept versions, and all that an archiver may be about to commit, as it is younger. Versions whose
        log is gone cannot be kept, and are named in the log.
        """
        return self._table.vacuum(
            retention_h,
            dry_run=dry_run,
            enforce_retention_duration=False,
            full=True,
            keep_versions=[version for version in sorted(kept_versions) if self._has(version)],
        )

    def history(self, commits_max: int) -> list[dict[str, Any]]:
        """The newest commits, newest first, in Delta's words."""
        return self._table.history(commits_max)

    def _has(self, version: int) -> bool:
        try:
            DeltaTable(self._folder, version=version)
        except DeltaError as error:
            log.warning("version.forgotten", extra={"lake_version": version, "problem": str(error)})
            return False
        return True

    def read(self, columns: Sequence[str] | None = None, where: Any = None) -> pa.Table:
        """Rows as Arrow; `where` is a pyarrow dataset expression. All of it is held in memory."""
        return self._dataset().to_table(columns=None if columns is None else list(columns), filter=where)

    def batches(self, columns: Sequence[str], where: Any) -> Iterator[pa.RecordBatch]:
        """The rows of `read`, some thousands at a time."""
        yield from self._dataset().to_batches(columns=list(columns), filter=where)

    def files(self, where: Any) -> Iterator[tuple[str, Callable[[], Iterator[pa.RecordBatch]]]]:
        """Each data file that may have such rows: its path below the table, and its rows (all columns of the layout).

        Columns that the file is older than are null. Reading may raise OSError or pyarrow's ArrowInvalid: a file of
        which no byte has been read yet may be broken.
        """
        dataset = self._dataset()
        for fragment in dataset.get_fragments(filter=where):
            yield fragment.path, partial(fragment.to_batches, schema=dataset.schema, columns=self._schema.names)

    def file_statistics(self) -> pa.Table:
        """One row a file, with the number of its records and the bounds of its columns, from the log alone."""
        return pa.table(self._table.get_add_actions(flatten=True))

    def _dataset(self) -> Any:
        """The rows, read by Arrow itself: by way of deltalake's file system a process may abort when it ends."""
        return self._table.to_pyarrow_dataset(filesystem=SubTreeFileSystem(str(self._folder), LocalFileSystem()))


def open_table(settings: Settings, layout: Layout[Any]) -> Lake:
    """The platform's table of this layout; raises as `Lake.open` does."""
    return Lake.open(layout.folder(settings), settings.policies.bucket, layout)


def is_table(settings: Settings, layout: Layout[Any]) -> bool:
    """Whether the table is there, without making it."""
    return DeltaTable.is_deltatable(str(layout.folder(settings)))


def offset_mark(topic: str, partition: int) -> str:
    """The name under which the next offset of a partition is committed."""
    return f"{topic}:{partition}"


def through_mark(topic: str) -> str:
    """The name under which is committed up to which instant a topic is archived."""
    return f"{topic}:through"


def _add_columns(table: DeltaTable, schema: pa.Schema) -> None:
    """Add the columns that a table of an older version lacks. Another process may do the same at this moment."""
    missing = _missing(table, schema)
    if not missing:
        return
    try:
        table.alter.add_columns(Schema.from_arrow(pa.schema(missing)).fields)
    except DeltaError:
        table.update_incremental()
        if _missing(table, schema):
            raise


def _missing(table: DeltaTable, schema: pa.Schema) -> list[pa.Field]:
    known = {field.name for field in table.schema().fields}
    return [field for field in schema if field.name not in known]
