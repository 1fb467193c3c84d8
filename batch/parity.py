"""Parity: what the stores say against a recomputation from the log, field by field. Only 0 mismatches are good.

It works under live traffic, because every row tells the offsets that it includes: the log is folded up to exactly
those. So a row is compared as soon as it has reached what the log held when the comparison began. Item rows draw
from all partitions and are compared only when the item is quiet: when none of its records is above the row's offsets.
A row that is not ready is read again until the deadline. After that, one that is absent or behind is a mismatch, and
one that live traffic kept in motion is `unsettled`; at rest that is a mismatch too.
A late batch is no mismatch: rows that lack what the stream has let go and batch does not cover are `history_gaps`.
Memory: the selected visitors' records, about 2 KB each; a sample of items brings all visitors who touched them.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

import pyarrow.compute as pc
import pyarrow.dataset as ds

from batch.expectation import (
    Claim,
    Key,
    KeyLog,
    Offsets,
    expected_profile,
    expected_session,
    key_logs,
    reaches,
)
from batch.lake.archiver import archive_to_end, now_ms
from batch.lake.interactions import to_records
from batch.lake.table import Lake, offset_mark
from batch.parity_findings import Comparison, Mismatch, Parity, Unready
from batch.stored_rows import StoredRows
from domain.artifacts import current_version, read_manifest
from domain.features import Entity
from domain.merge import Cells
from domain.policies import Policies
from infra.metrics import PARITY_MISMATCHES, PARITY_ROWS, PARITY_UNSETTLED
from infra.settings import Settings
from schemas.topics import INTERACTIONS

SETTLE_LIMIT_S: Final = 30.0
RETRY_S: Final = 1.0
ENTITIES: Final[tuple[Entity, ...]] = ("visitor", "item")

log = logging.getLogger(__name__)


class Rows(Protocol):
    """The online stores."""

    def read(self, entity: Entity, keys: Sequence[str]) -> Mapping[str, Cells]:
        """All columns of the entity's views by key; None in the columns of a view that has no row."""


class Log(Protocol):
    """The lake, kept behind the stream by an archiver or by us."""

    def keys(self) -> dict[Entity, list[str]]:
        """Every visitor and item."""

    def read(self, keys: Sequence[Key]) -> dict[Key, KeyLog]:
        """The logs of these keys at least; an empty one for a key that the log does not know."""

    def catch_up(self, offsets: Offsets) -> None:
        """Hold everything up to these offsets."""


def compare(
    settings: Settings, *, sample: int | None, is_at_rest: bool, settle_limit_s: float = SETTLE_LIMIT_S
) -> Parity:
    """Compare a sample of visitors and as many items, or all of them."""
    archived = LakeLog(settings)
    with closing(StoredRows(settings)) as rows:
        keys = choose(archived.keys(), sample, random.Random())
        since_ms = now_ms() - settings.redis.row_ttl_s * 1_000
        published_ms = published_cutoff_ms(settings.artifacts_dir)
        comparer = Comparer(rows, archived, settings.policies, since_ms=since_ms, published_ms=published_ms)
        found = comparer.run(keys, is_at_rest=is_at_rest, limit_s=settle_limit_s)
    PARITY_ROWS.inc(found.rows)
    PARITY_MISMATCHES.set(found.mismatches)
    PARITY_UNSETTLED.set(found.unsettled)
    if found.history_gaps:
        log.warning("history.gapped", extra={"rows": found.history_gaps})
    for mismatch in found.worst:
        log.error("feature.differed", extra={"feature": mismatch.feature, "expected": mismatch.expected})
    return found


def published_cutoff_ms(artifacts_dir: Path) -> int:
    """The cutoff of the run that is published whole: every row of it is in the store. 0 before the first one."""
    version = current_version(artifacts_dir)
    if version is None or not (artifacts_dir / version).is_dir():
        return 0
    return read_manifest(artifacts_dir / version).cutoff_ms


def choose(keys: Mapping[Entity, Sequence[str]], sample: int | None, generator: random.Random) -> list[Key]:
    """All keys, or a random sample of each entity's."""
    chosen = []
    for entity in ENTITIES:
        known = keys[entity]
        picked = known if sample is None else generator.sample(known, min(sample, len(known)))
        chosen += [(entity, key) for key in picked]
    return chosen


class LakeLog:
    """The lake as the log. It archives by itself, which is safe beside a running archiver."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topic = INTERACTIONS.named(settings.kafka.topic_prefix).name
        archive_to_end(settings)
        self._lake = Lake.open(settings.lake_dir, settings.policies.bucket)

    def keys(self) -> dict[Entity, list[str]]:
        found = self._lake.read(["visitor_id", "item_id"])
        return {entity: sorted(pc.unique(found[f"{entity}_id"]).to_pylist()) for entity in ENTITIES}

    def read(self, keys: Sequence[Key]) -> dict[Key, KeyLog]:
        wanted: dict[Entity, set[str]] = {entity: {key for of, key in keys if of == entity} for entity in ENTITIES}
        fans = self._lake.read(["visitor_id"], ds.field("item_id").isin(list(wanted["item"])))["visitor_id"]
        visitors = wanted["visitor"] | set(pc.unique(fans).to_pylist())
        rows = self._lake.read(where=ds.field("visitor_id").isin(list(visitors)))
        return {key: KeyLog() for key in keys} | key_logs(to_records(rows), self._settings.policies)

    def catch_up(self, offsets: Offsets) -> None:
        if not self._holds(offsets):
            archive_to_end(self._settings)
            self._lake.refresh()

    def _holds(self, offsets: Offsets) -> bool:
        self._lake.refresh()
        archived = {partition: self._lake.progress(offset_mark(self._topic, partition)) or 0 for partition in offsets}
        return all(archived[partition] > offset for partition, offset in offsets.items())


class Comparer:
    """Reads rows, folds the log up to what they claim, compares, and tries again what is not ready."""

    def __init__(
        self, rows: Rows, archived: Log, policies: Policies, *, since_ms: int = 0, published_ms: int = 0
    ) -> None:
        """The stream owes rows for what was received since an instant, batch for what was before `published_ms`."""
        self._rows = rows
        self._log = archived
        self._policies = policies
        self._since_ms = since_ms
        self._published_ms = published_ms
        self._seen_ms: dict[Entity, int] = dict.fromkeys(ENTITIES, published_ms)

    def run(self, keys: Sequence[Key], *, is_at_rest: bool, limit_s: float) -> Parity:
        """Compare these keys."""
        logs = self._log.read(keys)
        needed = {key: logs[key].newest_offsets(self._since_ms) for key in keys}
        found, pending, deadline = Parity(), list(keys), time.monotonic() + limit_s
        while pending:
            is_last = time.monotonic() >= deadline
            rows = self._read_rows(pending)
            judged = self._judge_all(rows, needed)
            pending = []
            for key, judgement in judged.items():
                if is_last or _is_final(key, judgement):
                    found.add(judgement, _claim(rows[key]), is_at_rest=is_at_rest)
                else:
                    pending.append(key)
            if pending:
                time.sleep(min(RETRY_S, max(0.0, deadline - time.monotonic())))
        return found

    def _judge_all(self, rows: Mapping[Key, Cells], needed: Mapping[Key, Offsets]) -> dict[Key, Comparison | Unready]:
        self._log.catch_up(_newest(rows.values()))
        logs = self._log.read(list(rows))
        for (entity, _), row in rows.items():  # over all passes: the rows that tell it are pending in the first alone
            self._seen_ms[entity] = max(self._seen_ms[entity], row["covered_to_ms"])
        judge = {"visitor": self._judge_visitor, "item": self._judge_item}
        return {
            key: self._without_batch_row(key, row, logs[key]) or judge[key[0]](key[1], row, logs[key], needed[key])
            for key, row in rows.items()
        }

    def _read_rows(self, keys: Sequence[Key]) -> dict[Key, Cells]:
        rows: dict[Key, Cells] = {}
        for entity in ENTITIES:
            found = self._rows.read(entity, [key for of, key in keys if of == entity])
            rows.update({(entity, key): row for key, row in found.items()})
        return rows

    def _without_batch_row(self, key: Key, row: Cells, one: KeyLog) -> Unready | None:
        """Whether batch has published what this key, which has no batch row, has in the log."""
        published_ms, first_ms = self._seen_ms[key[0]], one.first_received_at_ms()
        if row["covered_to_ms"] or first_ms is None or first_ms >= published_ms:
            return None
        is_in_motion = first_ms >= self._published_ms  # a publish that is on its way may bring the row yet
        return Unready(Mismatch("covered_to_ms", key[1], published_ms, 0), is_in_motion)

    def _judge_visitor(self, key: str, row: Cells, one: KeyLog, needed: Offsets) -> Comparison | Unready:
        for prefix in ("recent", "session"):
            offsets = _offsets(prefix, row)
            if not reaches(offsets, needed):
                return Unready(Mismatch(f"{prefix}_offsets", key, needed, offsets), is_in_motion=False)
        comparison = self._compare_profile("visitor", key, row, one)
        session = expected_session(one, _offsets("session", row), self._policies)
        if session is not None:
            comparison.compare(session, row)
        return comparison

    def _judge_item(self, key: str, row: Cells, one: KeyLog, needed: Offsets) -> Comparison | Unready:
        offsets = _offsets("recent", row)
        if not reaches(offsets, needed):
            return Unready(Mismatch("recent_offsets", key, needed, offsets), is_in_motion=False)
        newest = one.newest_offsets(self._since_ms)
        if not reaches(offsets, newest):
            return Unready(Mismatch("recent_offsets", key, newest, offsets), is_in_motion=True)
        return self._compare_profile("item", key, row, one)

    def _compare_profile(self, entity: Entity, key: str, row: Cells, one: KeyLog) -> Comparison:
        comparison = Comparison(key)
        claim = _claim(row)
        if claim.cutoff_ms or claim.offsets:
            comparison.compare(expected_profile(entity, one, claim, row["as_of_ms"], self._policies), row)
        return comparison


def _is_final(key: Key, judged: Comparison | Unready) -> bool:
    """Whether to look no more. Records reach an item on several ways, so that one which differs may yet settle."""
    return isinstance(judged, Comparison) and (key[0] == "visitor" or not judged.mismatches)


def _claim(row: Cells) -> Claim:
    return Claim(row["covered_to_ms"], row["recent_dropped_through_ms"] or 0, _offsets("recent", row))


def _offsets(prefix: str, row: Cells) -> Offsets:
    partitions, offsets = row[f"{prefix}_offset_partitions"] or (), row[f"{prefix}_offsets"] or ()
    return dict(zip(partitions, offsets, strict=True))


def _newest(rows: Iterable[Cells]) -> Offsets:
    """Per partition the newest offset that any row includes."""
    newest: dict[int, int] = {}
    for row in rows:
        for prefix in ("recent", "session"):
            if f"{prefix}_offsets" in row:
                for partition, offset in _offsets(prefix, row).items():
                    newest[partition] = max(offset, newest.get(partition, -1))
    return newest
