"""The catalogue as the batch layer knows it: the newest word of the `items` topic on each item, kept as a file.

A run takes one snapshot and learns from that, so that running it again learns from the same: the topic is compacted,
and forgets what it said before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from batch.lake.source import TopicLog
from infra.settings import KafkaSettings
from schemas.errors import ConsistencyError, DependencyError, RejectedEvent
from schemas.events import ItemEvent, decode
from schemas.topics import ITEMS

FILE: Final = "catalogue.parquet"
DURATION: Final = "duration_ms"
"""The attribute that tells the length of an item."""
POLL_MS: Final = 500
RECORDS_MAX: Final = 10_000

SCHEMA: Final = pa.schema(
    [
        ("item_id", pa.string()),
        ("title", pa.string()),
        ("categories", pa.list_(pa.string())),
        ("tags", pa.list_(pa.string())),
        ("price_micros", pa.int64()),
        ("published_at_ms", pa.int64()),
        ("duration_ms", pa.int64()),
    ]
)
"""What the models learn from; of `attributes`, which are the shop's own, how long an item takes to watch or hear."""

log = logging.getLogger(__name__)


def read_catalogue(kafka: KafkaSettings, deadline_s: float = 120.0) -> dict[str, ItemEvent]:
    """Every item that is not deleted, as the topic has it now, from its start to the end that it has when asked.

    Raises:
        DependencyError: no broker, no topic, or it was not read to its end by the deadline.
    """
    until_s = time.monotonic() + deadline_s
    found: dict[str, ItemEvent] = {}
    with TopicLog(kafka, ITEMS) as topic:
        bounds = topic.bounds()
        topic.seek({partition: start for partition, (start, _) in bounds.items()})
        ends = {partition: end for partition, (_, end) in bounds.items()}
        while not _has_reached(topic.positions(), ends):
            if time.monotonic() > until_s:
                problem = f"the topic {topic.topic} was not read to its end within {deadline_s:.0f} s"
                raise DependencyError("kafka", problem, "run it again when the broker is less busy")
            take(found, topic.poll(POLL_MS, RECORDS_MAX))
    return found


def take(found: dict[str, ItemEvent], records: Iterable[Any]) -> None:
    """Apply records of the topic, of each partition in their order, to what is known."""
    for record in records:
        item_id = record.key.decode(errors="replace") if record.key else ""
        if record.value is None:
            found.pop(item_id, None)
            continue
        try:
            item = decode(ItemEvent, record.value)
        except RejectedEvent as error:
            log.warning("item.rejected", extra={"item_id": item_id, "problem": str(error)})
            continue
        if item.deleted:
            found.pop(item.item_id, None)
        else:
            found[item.item_id] = item


def write_snapshot(path: Path, catalogue: Mapping[str, ItemEvent]) -> int:
    """Write the catalogue, sorted by id: the same items give the same rows. Returns how many there are."""
    rows = [_row(item) for _, item in sorted(catalogue.items())]
    waiting = path.with_suffix(".waiting")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), waiting, compression="zstd")
    waiting.replace(path)
    return len(rows)


def ids_of_snapshot(path: Path) -> list[str]:
    """The items alone."""
    ids: list[str] = pq.read_table(path, columns=["item_id"])["item_id"].to_pylist()
    return ids


def read_snapshot(path: Path) -> dict[str, ItemEvent]:
    """What `write_snapshot` wrote. Raises ConsistencyError when the file is missing or of another kind."""
    try:
        rows = pq.read_table(path, schema=SCHEMA).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ConsistencyError(f"cannot read the catalogue {path}: {error}; run the day again") from error
    return {row["item_id"]: _item(row) for row in rows}


def _row(item: ItemEvent) -> dict[str, Any]:
    length = item.attributes.get(DURATION)
    return {
        **{name: getattr(item, name) for name in SCHEMA.names if name != DURATION},
        "categories": list(item.categories),
        "tags": list(item.tags),
        DURATION: int(length) if isinstance(length, int | float) and length > 0 else None,
    }


def _item(row: dict[str, Any]) -> ItemEvent:
    length = row.pop(DURATION)
    lists = {"categories": tuple(row["categories"] or ()), "tags": tuple(row["tags"] or ())}
    return ItemEvent(**(row | lists), attributes={} if length is None else {DURATION: length})


def _has_reached(positions: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(positions.get(partition, -1) >= end for partition, end in ends.items())
