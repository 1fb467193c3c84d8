"""Impressions in a table of their own: archived as interactions are, read back whole, added to older lakes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from batch.lake.archiver import Heartbeat, archive_until
from batch.lake.impressions import IMPRESSIONS, read_slates_with, to_records
from batch.lake.interactions import INTERACTIONS
from batch.lake.interactions import to_records as to_interactions
from batch.lake.layout import PARTITION_COLUMN
from batch.lake.table import PERIOD_PROPERTY, Lake, offset_mark
from batch.lake.table_archiver import TableArchiver, closed_cutoff
from domain.impressions import ImpressionRecord
from domain.policies import BucketPolicy, Policies
from infra.settings import PROJECT_ROOT, BatchSettings, KafkaSettings, Settings
from schemas.errors import DependencyError
from schemas.events import AssignedArm, ImpressionEvent, InteractionContext, encode
from tests.builders import START_MS, impression, record, stamp
from tests.unit.batch.topic_in_memory import Clock, TopicInMemory

PERIOD_MS = 60_000
POLICIES = Policies(bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1))
BATCH = BatchSettings(archive_interval_ms=100, closing_grace_ms=5_000)
TOPIC = "impressions"


def topic(*events: ImpressionEvent, key: bytes = b"ada") -> TopicInMemory:
    found = TopicInMemory(topic=TOPIC)
    for event in events:
        found.add_raw(encode(event), key=key)
    return found


def archive(folder: Path, log: TopicInMemory, clock: Clock | None = None) -> TableArchiver:
    one = TableArchiver(open_impressions(folder), IMPRESSIONS, log, POLICIES, BATCH, clock or Clock())
    one.run_to_end()
    return one


def open_impressions(folder: Path) -> Lake:
    return Lake.open(folder / TOPIC, POLICIES.bucket, IMPRESSIONS)


def test_a_row_is_the_impression_that_it_was_made_of(tmp_path: Path) -> None:
    full = ImpressionEvent(
        slate_id="s1",
        visitor_id="ada",
        items=("a", "b"),
        shown_at_ms=START_MS,
        policy="session_first",
        arm="only",
        propensities=(1.0, 0.25),
        model_version="2025-06-15",
        degraded=("stale_model",),
        assigned=(AssignedArm(experiment="weights", arm="control", propensity=0.5),),
    )
    empty = impression("s2", items=())
    archive(tmp_path, topic(full, empty))
    records = sorted(to_records(open_impressions(tmp_path).read()), key=lambda one: one.stamp.offset)
    assert records == [ImpressionRecord(full, stamp(offset=0)), ImpressionRecord(empty, stamp(offset=1))]


def test_what_is_no_impression_or_not_its_visitors_is_counted_and_passed(tmp_path: Path) -> None:
    log = topic(impression("good"))
    log.add_raw(encode(impression("forged", visitor="eve")))
    log.add("an interaction")
    log.add_raw(b"{")
    one = archive(tmp_path, log)
    assert open_impressions(tmp_path).read(["slate_id"])["slate_id"].to_pylist() == ["good"]
    assert one.archived.refused == {"key": 1, "contract": 1, "malformed": 1}
    assert open_impressions(tmp_path).progress(offset_mark(TOPIC, 0)) == 4


def test_a_topic_without_a_record_closes_its_buckets(tmp_path: Path) -> None:
    clock = Clock()
    clock.at_ms = START_MS + PERIOD_MS + 5_000
    archive(tmp_path, topic(), clock)
    assert closed_cutoff(open_impressions(tmp_path), TOPIC, POLICIES.bucket, 5_000) == START_MS + PERIOD_MS


def test_a_slate_is_read_with_all_its_records_below_the_cutoff(tmp_path: Path) -> None:
    log = topic(impression("s1", items=("a", "b")), impression("s2", items=("b",)), impression("s1", items=("c",)))
    log.add_raw(encode(impression("s3", items=("a",))), at_ms=START_MS + PERIOD_MS)
    archive(tmp_path, log)
    found = read_slates_with(open_impressions(tmp_path), {"a"}, START_MS + PERIOD_MS)
    assert sorted((one.event.slate_id, one.event.items) for one in found) == [("s1", ("a", "b")), ("s1", ("c",))]
    assert read_slates_with(open_impressions(tmp_path), {"unseen"}, START_MS + PERIOD_MS) == []


def older_lake(folder: Path) -> None:
    """A table as it was before interactions had a source and a weight, with one row."""
    fields = [field for field in INTERACTIONS.schema if field.name not in ("source", "weight")]
    table = DeltaTable.create(
        folder,
        schema=pa.schema(fields),
        partition_by=[PARTITION_COLUMN],
        configuration={PERIOD_PROPERTY: str(PERIOD_MS)},
        raise_if_key_not_exists=False,
    )
    old = Lake(table, folder, pa.schema(fields))
    old.append([INTERACTIONS.to_rows([record("old")], POLICIES.bucket).select([one.name for one in fields])], {})


def test_a_lake_of_an_older_version_gets_the_new_columns_once_and_keeps_its_rows(tmp_path: Path) -> None:
    older_lake(tmp_path)
    two_at_once = [Lake.open(tmp_path, POLICIES.bucket) for _ in range(2)]
    assert [lake.version for lake in two_at_once] == [2, 2]
    new = record("new", offset=1, context=InteractionContext(source="critic", weight=0.5))
    two_at_once[0].append([INTERACTIONS.to_rows([new], POLICIES.bucket)], {})
    two_at_once[1].refresh()
    found = sorted(to_interactions(two_at_once[1].read()), key=lambda one: one.stamp.offset)
    assert found == [record("old"), new]


def test_impressions_from_before_experiments_have_none(tmp_path: Path) -> None:
    fields = [field for field in IMPRESSIONS.schema if field.name != "assigned"]
    table = DeltaTable.create(
        tmp_path,
        schema=pa.schema(fields),
        partition_by=[PARTITION_COLUMN],
        configuration={PERIOD_PROPERTY: str(PERIOD_MS)},
        raise_if_key_not_exists=False,
    )
    old, new = (ImpressionRecord(impression(f"s{number}"), stamp(offset=number)) for number in range(2))
    rows = IMPRESSIONS.to_rows([old], POLICIES.bucket).select([one.name for one in fields])
    Lake(table, tmp_path, pa.schema(fields)).append([rows], {})
    lake = Lake.open(tmp_path, POLICIES.bucket, IMPRESSIONS)
    lake.append([IMPRESSIONS.to_rows([new], POLICIES.bucket)], {})
    assert sorted(to_records(lake.read()), key=lambda one: one.stamp.offset) == [old, new]


def test_a_process_that_has_read_the_lake_ends_well(tmp_path: Path) -> None:
    archive(tmp_path, topic(impression("s1")))
    program = (
        "import sys; from pathlib import Path; from deltalake import DeltaTable; from batch.lake.table import Lake;"
        "path = Path(sys.argv[1]); assert Lake(DeltaTable(path), path, None).read().num_rows == 1"
    )
    for _ in range(2):  # by way of deltalake's own file system, two of three aborted
        subprocess.run([sys.executable, "-c", program, str(tmp_path / TOPIC)], cwd=PROJECT_ROOT, check=True)


def test_both_threads_end_when_one_cannot_begin(tmp_path: Path) -> None:
    settings, stop = Settings(state_dir=tmp_path, kafka=KafkaSettings(port=1)), Event()
    with pytest.raises(DependencyError, match=r"127\.0\.0\.1:1"):
        archive_until(stop, settings, tmp_path / "run" / "archiver.heartbeat")
    assert stop.is_set()


def test_the_heartbeat_stops_when_one_of_two_threads_stops(tmp_path: Path) -> None:
    path = tmp_path / "archiver.heartbeat"
    heartbeat = Heartbeat(path, frozenset({"one", "two"}))
    one, two = heartbeat.of("one"), heartbeat.of("two")
    one()
    one()
    assert not path.exists()
    two()
    assert path.exists()
    path.unlink()
    two()
    assert not path.exists()
    one()
    assert path.exists()
