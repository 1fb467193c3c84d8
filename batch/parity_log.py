"""The lake as parity's log: the records of some keys, complete as far as any row that is compared."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow.compute as pc
import pyarrow.dataset as ds

from batch.expectation import Key, KeyLog, Offsets, key_logs
from batch.lake.archiver import archive_to_end
from batch.lake.impressions import IMPRESSIONS, read_slates_with
from batch.lake.interactions import to_records
from batch.lake.table import Lake, offset_mark
from batch.parity_comparer import ENTITIES, FOREVER_MS
from domain.features import Entity
from infra.settings import Settings
from schemas.topics import INTERACTIONS


class LakeLog:
    """The lake as the log. It archives by itself, which is safe beside a running archiver."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = INTERACTIONS.named(settings.kafka.topic_prefix).name
        archive_to_end(settings)
        self._lake = Lake.open(settings.lake_dir, settings.policies.bucket)
        self._slates = Lake.open(settings.impressions_dir, settings.policies.bucket, IMPRESSIONS)

    def keys(self) -> dict[Entity, list[str]]:
        found = self._lake.read(["visitor_id", "item_id"])
        return {entity: sorted(pc.unique(found[f"{entity}_id"]).to_pylist()) for entity in ENTITIES}

    def read(self, keys: Sequence[Key]) -> dict[Key, KeyLog]:
        wanted: dict[Entity, set[str]] = {entity: {key for of, key in keys if of == entity} for entity in ENTITIES}
        fans = self._lake.read(["visitor_id"], ds.field("item_id").isin(list(wanted["item"])))["visitor_id"]
        visitors = wanted["visitor"] | set(pc.unique(fans).to_pylist())
        rows = self._lake.read(where=ds.field("visitor_id").isin(list(visitors)))
        self._slates.refresh()
        shown = read_slates_with(self._slates, wanted["item"], FOREVER_MS) if wanted["item"] else []
        return {key: KeyLog() for key in keys} | key_logs(to_records(rows), self._settings.policies, shown)

    def catch_up(self, offsets: Offsets) -> None:
        if not self._holds(offsets):
            archive_to_end(self._settings)
            self._lake.refresh()

    def _holds(self, offsets: Offsets) -> bool:
        self._lake.refresh()
        archived = {partition: self._lake.progress(offset_mark(self._topic, partition)) or 0 for partition in offsets}
        return all(archived[partition] > offset for partition, offset in offsets.items())
