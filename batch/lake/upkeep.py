"""`python -m batch lake compact | vacuum | history`: what an operator does with the tables beside a running archiver.

None of them changes a row. Joining files and appending to the table are commits that Delta orders; of two processes
that join the same files one loses and tries again. Deleting files spares what anybody may still read: everything that
left the table within the retention, and the versions that daily runs have pinned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from batch.lake.archiver import TABLES
from batch.lake.layout import Layout
from batch.lake.table import Compacted, Lake, Overtaken, open_table
from batch.lake.table_archiver import closed_cutoff
from infra.settings import Settings
from schemas.errors import ConfigurationError

TRIES: Final = 5
RETENTION_MIN_H: Final = 1
"""Below it a comparison or a commit that goes on right now could lose its files."""


def compact_lake(settings: Settings, *, open_buckets: bool = False) -> dict[str, dict[str, int]]:
    """Join the small files of every closed bucket, or of all of them; how many there were and are, by table.

    Raises:
        Overtaken: other processes were first again and again.
    """
    done = {}
    for layout in TABLES:
        lake = open_table(settings, layout)
        topic = layout.topic.named(settings.kafka.topic_prefix).name
        closed_ms = closed_cutoff(lake, topic, settings.policies.bucket, settings.batch.closing_grace_ms)
        joined = Compacted(0, 0)
        if open_buckets or closed_ms is not None:
            joined = _compact(lake, None if open_buckets else closed_ms)
        left = lake.file_statistics().num_rows
        done[layout.name] = {**joined._asdict(), "files": left, "version": lake.version}
    return done


def vacuum_lake(
    settings: Settings, pinned: Mapping[str, Collection[int]], *, retention_h: int, dry_run: bool
) -> dict[str, dict[str, Any]]:
    """Delete the files that nobody needs any more, or tell which; `pinned` are the versions to keep, by table.

    Raises:
        ConfigurationError: the retention is too short for those who read at this moment.
    """
    if retention_h < RETENTION_MIN_H:
        raise ConfigurationError(
            "--retention-hours",
            f"{retention_h} hours would take files from whoever reads the lake at this moment",
            f"keep {RETENTION_MIN_H} hour at least",
        )
    return {layout.name: _vacuum(settings, layout, pinned, retention_h, dry_run) for layout in TABLES}


def lake_history(settings: Settings, commits_max: int) -> dict[str, list[dict[str, Any]]]:
    """The newest commits of each table, newest first: when, what, how many rows and files."""
    return {
        layout.name: [_commit(one) for one in open_table(settings, layout).history(commits_max)] for layout in TABLES
    }


def _compact(lake: Lake, below_ms: int | None) -> Compacted:
    for _ in range(TRIES):
        lake.refresh()
        try:
            return lake.compact(below_ms)
        except Overtaken:
            continue
    raise Overtaken(f"other processes joined files {TRIES} times in between: run it again when they are done")


def _vacuum(
    settings: Settings, layout: Layout[Any], pinned: Mapping[str, Collection[int]], retention_h: int, dry_run: bool
) -> dict[str, Any]:
    folder = layout.folder(settings)
    lake, kept = open_table(settings, layout), sorted(set(pinned.get(layout.name, ())))
    sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*.parquet")}
    names = lake.vacuum(retention_h, kept, dry_run=dry_run)
    freed = sum(sizes.get(name, 0) for name in names)
    return {"would_delete" if dry_run else "deleted": len(names), "bytes": freed, "kept_versions": kept}


def _commit(one: Mapping[str, Any]) -> dict[str, Any]:
    """One entry of Delta's history, in our words; counts that it does not give are left out."""
    metrics = one.get("operationMetrics") or {}
    counts = {
        "rows": metrics.get("num_added_rows"),
        "files_added": metrics.get("num_added_files", metrics.get("numFilesAdded")),
        "files_removed": metrics.get(
            "num_removed_files", metrics.get("numFilesRemoved", metrics.get("numDeletedFiles"))
        ),
    }
    told = {"version": one["version"], "at_ms": one["timestamp"], "operation": one["operation"]}
    return told | {name: count for name, count in counts.items() if count is not None}
