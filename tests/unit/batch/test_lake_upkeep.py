"""What an operator does with the lake, beside archivers and readers that go on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from threading import Event, Thread

import pyarrow as pa
import pytest
from deltalake import DeltaTable, Field, Schema

from batch.lake.interactions import INTERACTIONS
from batch.lake.table import Lake, offset_mark, open_table, through_mark
from batch.lake.table_archiver import TableArchiver
from batch.lake.upkeep import compact_lake, lake_history, vacuum_lake
from domain.policies import BucketPolicy, Policies
from infra.settings import BatchSettings, KafkaSettings, Settings
from schemas.errors import ConfigurationError
from tests.builders import START_MS, record
from tests.unit.batch.topic_in_memory import Clock, TopicInMemory

PERIOD_MS = 60_000
POLICIES = Policies(bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1))
TOPIC = INTERACTIONS.name
DAY_S = 86_400


def settings(folder: Path) -> Settings:
    return Settings(state_dir=folder, kafka=KafkaSettings(port=1), policies=POLICIES)


def filled(folder: Path, commits: int = 4, buckets: int = 2) -> tuple[Settings, Lake]:
    """A lake with a row a commit, in turn in these buckets, all of them closed but the newest."""
    found = settings(folder)
    lake = open_table(found, INTERACTIONS)
    for number in range(commits):
        at_ms = START_MS + number % buckets * PERIOD_MS
        rows = INTERACTIONS.to_rows([record(f"e{number}", received_at_ms=at_ms, offset=number)], POLICIES.bucket)
        lake.append([rows], {offset_mark(TOPIC, 0): number + 1})
    through_ms = START_MS + (buckets - 1) * PERIOD_MS + found.batch.closing_grace_ms
    lake.append([], {through_mark(TOPIC): through_ms})
    return found, lake


def data_files(found: Settings) -> set[Path]:
    return set(found.lake_dir.rglob("*.parquet"))


def ids(lake: Lake) -> list[str]:
    return sorted(lake.read(["event_id"])["event_id"].to_pylist())


def test_files_of_closed_buckets_are_joined_and_those_of_the_open_one_on_demand(tmp_path: Path) -> None:
    found, lake = filled(tmp_path)
    assert compact_lake(found)[TOPIC] | {"version": 0} == {"removed": 2, "added": 1, "files": 3, "version": 0}
    assert compact_lake(found, open_buckets=True)[TOPIC]["files"] == 2
    assert compact_lake(found, open_buckets=True)[TOPIC]["removed"] == 0
    lake.refresh()
    assert ids(lake) == ["e0", "e1", "e2", "e3"]
    assert lake.progress(offset_mark(TOPIC, 0)) == 4


def test_joining_beside_an_archiver_that_commits_doubles_and_loses_nothing(tmp_path: Path) -> None:
    found, log, done = settings(tmp_path), TopicInMemory(), Event()
    for number in range(24):
        log.add(f"e{number:03d}", partition=number % 2)
    batch = BatchSettings(archive_interval_ms=100, archive_rows_max=1)
    joined = []

    def join() -> None:
        while not done.is_set():
            joined.append(compact_lake(found, open_buckets=True)[TOPIC]["removed"])

    archiver = TableArchiver(open_table(found, INTERACTIONS), INTERACTIONS, log, POLICIES, batch, Clock())
    joining = Thread(target=join)
    joining.start()
    try:
        archiver.run_to_end()
    finally:
        done.set()
        joining.join()
    assert sum(joined) > 2
    assert archiver.archived.commits >= 24
    assert ids(open_table(found, INTERACTIONS)) == [f"e{number:03d}" for number in range(24)]


def test_what_was_joined_is_deleted_after_the_retention_and_pinned_versions_stay_readable(tmp_path: Path) -> None:
    found, _ = filled(tmp_path)
    pinned, before = 2, data_files(found)
    compact_lake(found, open_buckets=True)
    assert vacuum_lake(found, {}, retention_h=1, dry_run=False)[TOPIC]["deleted"] == 0
    let_pass(found, hours=2)
    told = vacuum_lake(found, {TOPIC: [pinned]}, retention_h=1, dry_run=True)[TOPIC]
    assert (told["would_delete"], told["kept_versions"]) == (2, [pinned])
    assert data_files(found) > before
    done = vacuum_lake(found, {TOPIC: [pinned, 10_000]}, retention_h=1, dry_run=False)[TOPIC]
    assert done["deleted"] == 2
    assert done["bytes"] > 0
    assert DeltaTable(found.lake_dir, version=pinned).to_pyarrow_table().num_rows == 2
    assert ids(open_table(found, INTERACTIONS)) == ["e0", "e1", "e2", "e3"]
    assert lake_history(found, 1)[TOPIC][0]["operation"] == "VACUUM END"


def let_pass(found: Settings, *, hours: int) -> None:
    """Make all that left the table, and every file, so much older; Delta takes the time from its log."""
    for path in (found.lake_dir / "_delta_log").glob("*.json"):
        lines = path.read_text()
        for stamp in _deletions(lines):
            lines = lines.replace(f'"deletionTimestamp":{stamp}', f'"deletionTimestamp":{stamp - hours * 3_600_000}')
        path.write_text(lines)
    for file in data_files(found):
        os.utime(file, (time.time() - hours * 3_600,) * 2)


def _deletions(text: str) -> list[int]:
    return [int(part.split(",")[0].rstrip("}")) for part in text.split('"deletionTimestamp":')[1:]]


def test_files_that_a_killed_archiver_left_are_deleted_and_those_that_are_being_written_stay(tmp_path: Path) -> None:
    found, _ = filled(tmp_path)
    old, young = (found.lake_dir / f"bucket_ms={START_MS}" / f"part-{name}.parquet" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half a file")
    os.utime(old, (time.time() - DAY_S,) * 2)
    assert vacuum_lake(found, {}, retention_h=12, dry_run=False)[TOPIC]["deleted"] == 1
    assert (old.exists(), young.exists()) == (False, True)


def test_a_retention_that_would_take_files_from_readers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="retention-hours"):
        vacuum_lake(settings(tmp_path), {}, retention_h=0, dry_run=True)


def test_the_history_tells_commits_with_their_rows_and_files(tmp_path: Path) -> None:
    found, _ = filled(tmp_path)
    compact_lake(found)
    newest = lake_history(found, 3)[TOPIC]
    assert [one["operation"] for one in newest] == ["OPTIMIZE", "WRITE", "WRITE"]
    assert (newest[0]["files_removed"], newest[0]["files_added"]) == (2, 1)
    assert (newest[2]["rows"], newest[2]["version"]) == (1, 4)


def test_marks_outlive_a_checkpoint_of_the_log_and_a_joining_of_files(tmp_path: Path) -> None:
    found, lake = filled(tmp_path)
    DeltaTable(found.lake_dir).create_checkpoint()
    for path in (found.lake_dir / "_delta_log").glob("*.json"):
        path.unlink()
    again = open_table(found, INTERACTIONS)
    assert again.progress(offset_mark(TOPIC, 0)) == 4
    assert again.version == lake.version


def test_an_archiver_of_an_older_release_writes_beside_a_new_column_and_all_files_are_joined(tmp_path: Path) -> None:
    """A newer release has added a column while the older one still runs."""
    found, older = filled(tmp_path)
    newer_schema = INTERACTIONS.schema.append(pa.field("mood", pa.string()))
    DeltaTable(found.lake_dir).alter.add_columns(_delta_fields(newer_schema))
    rows = INTERACTIONS.to_rows([record("late", offset=9)], POLICIES.bucket)
    older.refresh()
    older.append([rows], {offset_mark(TOPIC, 0): 10})
    newer = Lake(DeltaTable(found.lake_dir), found.lake_dir, newer_schema)
    mood = pa.array(["calm"], pa.string())
    newer.append([pa.RecordBatch.from_arrays([*rows.columns, mood], schema=newer_schema)], {offset_mark(TOPIC, 0): 11})
    compact_lake(found, open_buckets=True)
    newer.refresh()
    assert sorted(newer.read(["mood"])["mood"].to_pylist(), key=str) == [None] * 5 + ["calm"]
    assert ids(open_table(found, INTERACTIONS)) == ["e0", "e1", "e2", "e3", "late", "late"]


def _delta_fields(schema: pa.Schema) -> list[Field]:
    return [field for field in Schema.from_arrow(schema).fields if field.name == "mood"]
