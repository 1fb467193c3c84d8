"""What the lake holds, and how far it is behind the broker."""

from __future__ import annotations

from typing import Any

import pyarrow.compute as pc

from batch.lake.archiver import TABLES
from batch.lake.interactions import HISTORY_PARTITION
from batch.lake.layout import Layout
from batch.lake.source import TopicLog
from batch.lake.table import Lake, offset_mark, open_table, through_mark
from batch.lake.table_archiver import closed_cutoff
from infra.settings import Settings
from schemas.errors import DependencyError


def lake_status(settings: Settings) -> dict[str, dict[str, Any]]:
    """By table, counts from its log alone; `partitions` says why the broker did not tell, while it is away."""
    return {layout.name: _table_status(settings, layout) for layout in TABLES}


def _table_status(settings: Settings, layout: Layout[Any]) -> dict[str, Any]:
    policy, topic = settings.policies.bucket, layout.topic.named(settings.kafka.topic_prefix).name
    lake = open_table(settings, layout)
    files = lake.file_statistics()
    history = files.filter(pc.equal(files["max.partition"], HISTORY_PARTITION))
    starts = pc.min_max(files["partition.bucket_ms"]).as_py()
    return {
        "version": lake.version,
        "files": files.num_rows,
        "rows": pc.sum(files["num_records"]).as_py() or 0,
        "history_rows": pc.sum(history["num_records"]).as_py() or 0,
        "buckets": pc.count_distinct(files["partition.bucket_ms"]).as_py(),
        "first_bucket_ms": starts["min"],
        "last_bucket_ms": starts["max"],
        "archived_through_ms": lake.progress(through_mark(topic)),
        "closed_cutoff_ms": closed_cutoff(lake, topic, policy, settings.batch.closing_grace_ms),
        "partitions": _partitions(lake, topic, settings, layout),
    }


def _partitions(lake: Lake, topic: str, settings: Settings, layout: Layout[Any]) -> list[dict[str, int | None]] | str:
    """One entry a partition, or why the broker did not tell."""
    try:
        with TopicLog(settings.kafka, layout.topic) as source:
            bounds = source.bounds()
    except DependencyError as error:
        return str(error)
    archived = {partition: lake.progress(offset_mark(topic, partition)) for partition in bounds}
    return [
        {
            "partition": partition,
            "archived": archived[partition],
            "end": end,
            "lag": end - (archived[partition] or start),
        }
        for partition, (start, end) in bounds.items()
    ]
