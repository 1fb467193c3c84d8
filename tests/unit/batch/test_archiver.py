"""The archiver's rules on a log in memory and a real table in a temporary folder."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import pytest
from prometheus_client import REGISTRY

from batch.lake.interactions import INTERACTIONS, to_records
from batch.lake.table import Lake, offset_mark
from batch.lake.table_archiver import TableArchiver, closed_cutoff
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord
from infra.settings import BatchSettings
from schemas.errors import ConfigurationError, ConsistencyError, DependencyError
from schemas.events import InteractionContext, encode
from tests.builders import START_MS, interaction
from tests.unit.batch.topic_in_memory import Clock, KafkaRecord, TopicInMemory

PERIOD_MS = 60_000
GRACE_MS = 5_000
POLICIES = Policies(bucket=BucketPolicy(period_ms=PERIOD_MS, kept=8, dedup=1))
BATCH = BatchSettings(archive_interval_ms=100, archive_rows_max=1_000, closing_grace_ms=GRACE_MS)
TOPIC = "interactions"


def open_lake(folder: Path) -> Lake:
    return Lake.open(folder / "lake", POLICIES.bucket)


def archiver(
    folder: Path, log: TopicInMemory, clock: Clock | None = None, batch: BatchSettings = BATCH
) -> TableArchiver:
    return TableArchiver(open_lake(folder), INTERACTIONS, log, POLICIES, batch, clock or Clock())


def archived_ids(folder: Path) -> list[str]:
    return sorted(open_lake(folder).read(["event_id"])["event_id"].to_pylist())


def cutoff(folder: Path) -> int | None:
    return closed_cutoff(open_lake(folder), TOPIC, POLICIES.bucket, GRACE_MS)


def lag_of(table: str) -> float | None:
    return REGISTRY.get_sample_value("firth_archiver_lag_records", {"table": table})


def test_a_row_is_the_record_that_it_was_made_of(tmp_path: Path) -> None:
    log = TopicInMemory()
    context = InteractionContext(
        categories=("a", "b"),
        price_micros=1,
        utc_offset_min=-60,
        device="tv",
        source="critic",
        weight=0.3,
        attributes={"x": 1, "y": 2.0, "z": None},
    )
    full = interaction(
        "full", context=context, value=0.1, user_id="u", session_id="s", slate_id="l", position=3, personalise=False
    )
    for offset, event in enumerate((full, interaction("bare"))):
        log.records[0].append(KafkaRecord(0, offset, START_MS + 5, b"ada", encode(event)))
    archiver(tmp_path, log).run_to_end()
    records = sorted(to_records(open_lake(tmp_path).read()), key=lambda one: one.stamp.offset)
    assert [one.event for one in records] == [full, interaction("bare")]
    assert isinstance(records[0], LogRecord)
    assert records[0].stamp.received_at_ms == START_MS + 5


def test_refused_records_are_counted_and_passed(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("good")
    log.add("stranger", key=b"eve")
    log.add("no-text", key=b"\xff")
    log.records[0].append(KafkaRecord(0, 3, START_MS, b"ada", b"{"))
    log.records[0].append(KafkaRecord(0, 4, START_MS, b"ada", encode(interaction("ahead", at_ms=START_MS + 300_001))))
    one = archiver(tmp_path, log)
    one.run_to_end()
    assert archived_ids(tmp_path) == ["good"]
    assert one.archived.refused == {"key": 2, "malformed": 1, "future": 1}
    assert open_lake(tmp_path).progress(offset_mark(TOPIC, 0)) == 5
    assert open_lake(tmp_path).progress(offset_mark(TOPIC, 1)) == 0


def test_markers_of_transactions_are_passed_and_hold_up_neither_the_end_nor_a_bucket(tmp_path: Path) -> None:
    log, clock = TopicInMemory(), Clock()
    clock.at_ms = START_MS + PERIOD_MS + GRACE_MS
    log.add("e1")
    log.add_marker()
    log.add_marker(partition=1)
    archiver(tmp_path, log, clock).run_to_end()
    assert archived_ids(tmp_path) == ["e1"]
    assert [open_lake(tmp_path).progress(offset_mark(TOPIC, partition)) for partition in (0, 1)] == [2, 1]
    assert cutoff(tmp_path) == START_MS + PERIOD_MS

    log.add_marker()
    log.add("e2")
    archiver(tmp_path, log, clock).run_to_end()
    assert archived_ids(tmp_path) == ["e1", "e2"]


def test_a_broker_lost_between_the_records_and_their_positions_loses_and_doubles_nothing(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("e1")
    log.add_marker()
    one, positions = archiver(tmp_path, log), log.positions

    def lost() -> dict[int, int]:
        raise DependencyError("kafka", "is away", "wait")

    log.positions = lost  # type: ignore[method-assign]
    with pytest.raises(DependencyError):
        one.run_to_end()
    log.positions = positions  # type: ignore[method-assign]
    one.run_to_end()
    assert archived_ids(tmp_path) == ["e1"]
    assert open_lake(tmp_path).progress(offset_mark(TOPIC, 0)) == 2


def test_running_again_changes_nothing(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("e1")
    archiver(tmp_path, log).run_to_end()
    version = open_lake(tmp_path).version
    archiver(tmp_path, log).run_to_end()
    assert open_lake(tmp_path).version == version
    assert archived_ids(tmp_path) == ["e1"]


def test_more_than_a_buffer_takes_several_commits(tmp_path: Path) -> None:
    log = TopicInMemory()
    for number in range(25):
        log.add(f"e{number:02d}", partition=number % 2)
    one = archiver(tmp_path, log, batch=BATCH.model_copy(update={"archive_rows_max": 10}))
    one.run_to_end()
    assert one.archived.commits == 3
    assert archived_ids(tmp_path) == [f"e{number:02d}" for number in range(25)]


def test_the_lag_falls_with_every_commit_and_leaves_out_what_expired(tmp_path: Path) -> None:
    log, lags = TopicInMemory(partitions=1), []
    for number in range(25):
        log.add(f"e{number}")
    log.starts[0] = 5
    one, log_poll = archiver(tmp_path, log, batch=BATCH.model_copy(update={"archive_rows_max": 10})), log.poll

    def poll_and_note_the_lag(timeout_ms: int, records_max: int) -> list[KafkaRecord]:
        lags.append(lag_of("interactions"))
        return log_poll(timeout_ms, records_max)

    log.poll = poll_and_note_the_lag  # type: ignore[method-assign]
    one.run_to_end()
    assert lags == [20, 10]
    assert lag_of("interactions") == 0


def test_the_second_of_two_archivers_goes_on_behind_the_first(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("e1")
    first, second = archiver(tmp_path, log), archiver(tmp_path, log.another_reader())
    log.add("e2", partition=1)
    first.run_to_end()
    log.add("e3")
    second.run_to_end()
    assert second.archived.overtaken == 1
    assert archived_ids(tmp_path) == ["e1", "e2", "e3"]


def test_what_another_archiver_committed_is_not_doubled_where_joining_files_brought_its_version(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("e1")
    first, second = archiver(tmp_path, log), archiver(tmp_path, log.another_reader())
    second.run_to_end()
    first._gather(Event())
    first._lake.refresh()  # as joining files leaves the table: at a version whose progress nobody read
    first._commit()
    assert first.archived.overtaken == 1
    first.run_to_end()
    assert archived_ids(tmp_path) == ["e1"]


def test_a_broker_lost_while_catching_up_with_another_archiver_doubles_nothing(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("e1")
    behind = log.another_reader()
    second = archiver(tmp_path, behind)
    archiver(tmp_path, log).run_to_end()
    behind_poll = behind.poll

    def poll_and_lose_the_broker(timeout_ms: int, records_max: int) -> list[KafkaRecord]:
        behind.is_away = second.archived.overtaken == 0
        return behind_poll(timeout_ms, records_max)

    behind.poll = poll_and_lose_the_broker  # type: ignore[method-assign]
    with pytest.raises(DependencyError):
        second.run_to_end()
    with pytest.raises(DependencyError):
        second.run_to_end()
    behind.is_away = False
    second.run_to_end()
    assert archived_ids(tmp_path) == ["e1"]


def test_nothing_is_closed_before_a_mark_is_passed(tmp_path: Path) -> None:
    assert cutoff(tmp_path) is None
    archiver(tmp_path, TopicInMemory())
    assert cutoff(tmp_path) is None


@pytest.mark.parametrize(("after_ms", "closed"), [(GRACE_MS - 1, 0), (GRACE_MS, PERIOD_MS)])
def test_a_bucket_closes_with_the_grace_and_not_a_moment_earlier(tmp_path: Path, after_ms: int, closed: int) -> None:
    log, clock = TopicInMemory(), Clock()
    log.add("e1")
    clock.at_ms = START_MS + PERIOD_MS + after_ms
    archiver(tmp_path, log, clock).run_to_end()
    assert cutoff(tmp_path) == START_MS + closed


def test_a_bucket_stays_open_while_one_partition_is_behind_the_mark(tmp_path: Path) -> None:
    log, clock = TopicInMemory(), Clock()
    clock.at_ms = START_MS + PERIOD_MS + GRACE_MS
    for number in range(3):
        log.add(f"e{number}", partition=number % 2)
    one = archiver(tmp_path, log, clock, BATCH.model_copy(update={"archive_rows_max": 1}))
    stop = Event()
    log_poll = log.poll

    def stop_after_two(timeout_ms: int, records_max: int) -> list[KafkaRecord]:
        found = log_poll(timeout_ms, records_max)
        if one.archived.rows + len(found) == 2:
            stop.set()
        return found

    log.poll = stop_after_two  # type: ignore[method-assign]
    one.run(stop)
    assert archived_ids(tmp_path) == ["e0", "e2"]
    assert cutoff(tmp_path) is None


def test_an_idle_topic_closes_each_bucket_with_one_empty_commit(tmp_path: Path) -> None:
    log, clock = TopicInMemory(), Clock()
    archiver(tmp_path, log, clock).run_to_end()
    version = open_lake(tmp_path).version
    for after_ms in (GRACE_MS, GRACE_MS + 1, PERIOD_MS - 1):
        clock.at_ms = START_MS + PERIOD_MS + after_ms
        archiver(tmp_path, log, clock).run_to_end()
    assert cutoff(tmp_path) == START_MS + PERIOD_MS
    assert open_lake(tmp_path).version == version + 1


def test_a_record_of_a_closed_bucket_is_kept_and_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log, clock = TopicInMemory(), Clock()
    clock.at_ms = START_MS + PERIOD_MS + GRACE_MS
    archiver(tmp_path, log, clock).run_to_end()
    log.add("too late", at_ms=START_MS + PERIOD_MS - 1)
    log.add("in time", at_ms=START_MS + PERIOD_MS)
    one = archiver(tmp_path, log, clock)
    one.run_to_end()
    assert one.archived.after_closing == 1
    assert "bucket.reopened" in caplog.messages
    assert archived_ids(tmp_path) == ["in time", "too late"]


def test_files_of_a_closed_bucket_are_joined(tmp_path: Path) -> None:
    log, clock = TopicInMemory(), Clock()
    for number in range(4):
        log.add(f"e{number}")
    clock.at_ms = START_MS + PERIOD_MS + GRACE_MS
    archiver(tmp_path, log, clock, BATCH.model_copy(update={"archive_rows_max": 1})).run_to_end()
    assert open_lake(tmp_path).file_statistics().num_rows == 1
    assert archived_ids(tmp_path) == ["e0", "e1", "e2", "e3"]


def test_records_that_expired_before_they_were_archived_stop_the_archiver(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("e1")
    archiver(tmp_path, log).run_to_end()
    log.starts[0] = 5
    with pytest.raises(ConsistencyError, match="offsets 1 to 4 were deleted"):
        archiver(tmp_path, log)


def test_a_topic_that_is_shorter_than_the_lake_is_another_topic(tmp_path: Path) -> None:
    log = TopicInMemory()
    log.add("e1")
    archiver(tmp_path, log).run_to_end()
    with pytest.raises(ConsistencyError, match="it is another topic"):
        archiver(tmp_path, TopicInMemory())


def test_another_bucket_period_is_refused(tmp_path: Path) -> None:
    open_lake(tmp_path)
    with pytest.raises(ConfigurationError, match="60000"):
        Lake.open(tmp_path / "lake", BucketPolicy(period_ms=PERIOD_MS + 1))
