"""The lake as parity's log: the records of some keys, complete as far as any row that is compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from batch.expectation import Key, KeyLog, Offsets, key_logs
from batch.lake.archiver import archive_to_end
from batch.lake.impressions import IMPRESSIONS, read_slates_with
from batch.lake.interactions import to_records
from batch.lake.layout import PARTITION_COLUMN
from batch.lake.table import Lake, offset_mark
from batch.parity_comparer import ENTITIES, FOREVER_MS
from domain.facts import Stamp
from domain.features import Entity
from domain.reference import LogRecord
from infra.settings import Settings
from schemas.events import InteractionEvent
from schemas.topics import INTERACTIONS

ADMISSION_COLUMNS: Final = ("visitor_id", "event_id", "partition", "offset", "received_at_ms")


class LakeLog:
    """The lake as the log. It archives by itself, which is safe beside a running archiver."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        topic = INTERACTIONS.named(settings.kafka.topic_prefix)
        self._topic, self._partitions = topic.name, topic.partitions
        archive_to_end(settings)
        self._lake = Lake.open(settings.lake_dir, settings.policies.bucket)
        self._slates = Lake.open(settings.impressions_dir, settings.policies.bucket, IMPRESSIONS)

    def keys(self) -> dict[Entity, list[str]]:
        everything, visitors, items = ds.field(PARTITION_COLUMN) < FOREVER_MS, set[str](), set[str]()
        for acted in self._lake.batches(["visitor_id", "item_id"], everything):
            visitors.update(pc.unique(acted["visitor_id"]).to_pylist())
            items.update(pc.unique(acted["item_id"]).to_pylist())
        for shown in self._slates.batches(["items"], everything):
            items.update(pc.unique(pc.list_flatten(shown["items"])).to_pylist())
        return {"visitor": sorted(visitors), "item": sorted(items)}

    def held(self) -> Offsets:
        return {partition: offset - 1 for partition, offset in self._progress(range(self._partitions)).items()}

    def read(self, keys: Sequence[Key]) -> dict[Key, KeyLog]:
        visitors, items = ([key for of, key in keys if of == entity] for entity in ENTITIES)
        is_wanted = ds.field("visitor_id").isin(_texts(visitors)) | ds.field("item_id").isin(_texts(items))
        whole = self._lake.read(where=is_wanted)
        fans = pc.unique(whole["visitor_id"])
        others = self._lake.read(ADMISSION_COLUMNS, ds.field("visitor_id").isin(fans) & ~is_wanted)
        self._slates.refresh()
        shown = read_slates_with(self._slates, items, FOREVER_MS) if items else []
        return key_logs([*to_records(whole), *to_admit(others)], keys, self._settings.policies, shown)

    def catch_up(self, offsets: Offsets) -> None:
        if not self._holds(offsets):
            archive_to_end(self._settings)
            self._lake.refresh()

    def _holds(self, offsets: Offsets) -> bool:
        self._lake.refresh()
        archived = self._progress(offsets)
        return all(archived[partition] > offset for partition, offset in offsets.items())

    def _progress(self, partitions: Iterable[int]) -> Offsets:
        """The next offset to archive."""
        return {number: self._lake.progress(offset_mark(self._topic, number)) or 0 for number in partitions}


def _texts(keys: Sequence[str]) -> pa.Array:
    """Arrow cannot tell the type of none."""
    return pa.array(keys, pa.string())


def to_admit(rows: pa.Table) -> list[LogRecord]:
    """Records that only decide what else of their visitor is admitted: of these nothing but that is read."""
    columns = zip(*(rows[name].to_pylist() for name in ADMISSION_COLUMNS), strict=True)
    return [
        LogRecord(
            InteractionEvent(event_id=event, visitor_id=visitor, item_id="", kind="view", occurred_at_ms=0),
            Stamp(received_at_ms, partition, offset),
        )
        for visitor, event, partition, offset, received_at_ms in columns
    ]
