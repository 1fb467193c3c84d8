"""The writer's loop: poll, keep the newest row of each key, finish, write, and only then commit.

A committed offset carries, as its metadata, the epoch of the store that it was written to. It counts for that store
only: a partition whose offset belongs to another epoch is read from its beginning, and because the changelogs are
compacted that fills a wiped store with every key. It needs no memory of its own, so it holds across restarts,
rebalances and several writers.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, Final, TypeVar

import msgspec
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from domain.rows import OpenRow
from infra import metrics
from schemas.errors import DependencyError
from speed.tombstones import HEADER
from speed.writer.finishing import FeatureUpdate, Tombstone, covers, read_row, read_tombstone
from speed.writer.sink import FeatureSink, Written

POLL_RECORDS_MAX: Final = 4_000
"""The further behind, the larger the batch, and the more rows of a key become one write."""

POLL_TIMEOUT_MS: Final = 200
PACE_S: Final = 0.01
"""A batch begins at least so long after the one before: of a steady trickle, what came meanwhile is one batch, for
each costs a poll and a round trip to Redis. What comes after a pause waits for nothing."""

COMMIT_PERIOD_S: Final = 0.5
COMMIT_REFUSALS_MAX: Final = 60
"""Half a minute of commits that Kafka refuses, three times its patience with a silent member: the group does not take
us back. Then the process ends, and the next one joins anew."""

IDLE_COMMIT_PERIOD_S: Final = 5.0
"""Without anything new the same is committed again: a group that has forgotten us says so then, and not never."""

JOIN_PATIENCE_S: Final = 120.0
"""A rebalance that takes longer does not end: kafka-python has waited for ever after a broker was killed."""

WATCH_PERIOD_S: Final = 1.0
RETRY_FIRST_S: Final = 0.05
RETRY_LONGEST_S: Final = 2.0
RETRIES_MAX: Final = 40
"""About a minute: below Kafka's patience with a silent consumer. Then the process ends and its supervisor decides."""

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Finish = Callable[[str, OpenRow | None, Tombstone | None], FeatureUpdate]


class Newest(msgspec.Struct, frozen=True):
    """The newest that a changelog says of one key: a tombstone, a row, or a row that began after a tombstone."""

    row: OpenRow | None = None
    tombstone: Tombstone | None = None


NOTHING: Final = Newest()


class FeatureWriter:
    """Moves the changelog topics into the sink."""

    def __init__(self, consumer: KafkaConsumer, sink: FeatureSink, finish: Mapping[str, Finish]) -> None:
        """`finish` tells, by topic, how the newest of a key becomes features."""
        self._consumer = consumer
        self._sink = sink
        self._finish = finish
        self._assigned = _Assigned()
        self._epoch = ""
        self._committed_at_s = self._watched_at_s = self._next_at_s = 0.0
        self._dirty = False
        self._refusals = 0

    def run(self, stopped: Event, heartbeat: Path) -> None:
        """Until `stopped`.

        Raises:
            DependencyError: the store stays away, a topic does not exist, or the group does not take us back.
            ConsistencyError: a row cannot be read or stored.
        """
        self._epoch = self._patiently(self._sink.epoch)
        for topic in self._finish:
            self._patiently(partial(self._know, topic))
        self._consumer.subscribe(list(self._finish), listener=self._assigned)
        while not stopped.is_set():
            self.step()
            if time.monotonic() - self._watched_at_s >= WATCH_PERIOD_S:
                self._watch(heartbeat)
        self._commit()

    def _know(self, topic: str) -> None:
        """Learn the topic's partitions before joining the group: else the first assignment may be empty for long."""
        if not self._consumer.partitions_for_topic(topic):
            raise DependencyError(f"kafka topic {topic}", "does not exist", "run `python -m infra.processes.topics`")

    def step(self) -> None:
        """One batch."""
        time.sleep(max(self._next_at_s - time.monotonic(), 0.0))
        polled = self._consumer.poll(timeout_ms=POLL_TIMEOUT_MS, max_records=POLL_RECORDS_MAX)
        if self._assigned.partitions:
            self._resume(self._assigned.take())
        if polled:
            self._next_at_s = time.monotonic() + PACE_S
            self._take(record for records in polled.values() for record in records)
        period_s = COMMIT_PERIOD_S if self._dirty else IDLE_COMMIT_PERIOD_S
        if time.monotonic() - self._committed_at_s >= period_s:
            self._commit()

    def _resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions are ours now: go on from their commits, but for those that were made for another store."""
        self._rewind([partition for partition in partitions if self._is_committed_elsewhere(partition)])

    def _rewind(self, partitions: Collection[TopicPartition]) -> None:
        if partitions:
            self._consumer.seek_to_beginning(*partitions)
            metrics.WRITER_REBUILDS.inc()
            log.info("changelog.rewound", extra={"partitions": [f"{one.topic}-{one.partition}" for one in partitions]})

    def _take(self, records: Iterable[Any]) -> None:
        started_at_s = time.perf_counter()
        updates = [
            self._finish[topic](key, newest.row, newest.tombstone)
            for (topic, key), newest in newest_of_keys(records).items()
        ]
        written = self._patiently(partial(self._sink.write, updates))
        self._observe(updates, written, time.perf_counter() - started_at_s)
        self._dirty = True
        if written.epoch != self._epoch:
            self._start_over()

    def _start_over(self) -> None:
        """The store was wiped: what was committed for its former content counts no more."""
        self._epoch = self._patiently(self._sink.epoch)
        self._dirty = False
        self._rewind(self._consumer.assignment())

    def _watch(self, heartbeat: Path) -> None:
        """Now and then: notice a wiped store though nothing is to be written, measure the lag, show that we live."""
        self._watched_at_s = time.monotonic()
        if self._assigned.awaited_s > JOIN_PATIENCE_S:
            problem = f"has given no partitions for {JOIN_PATIENCE_S:.0f} s"
            raise DependencyError("kafka group of the writers", problem, "start the writer again")
        if self._patiently(self._sink.epoch) != self._epoch:
            self._start_over()
        metrics.WRITER_LAG.set(sum(self._lag_of(partition) for partition in self._consumer.assignment()))
        heartbeat.parent.mkdir(parents=True, exist_ok=True)
        heartbeat.touch()

    def _lag_of(self, partition: TopicPartition) -> int:
        end = self._consumer.highwater(partition)
        return 0 if end is None else max(end - self._consumer.position(partition), 0)

    def _is_committed_elsewhere(self, partition: TopicPartition) -> bool:
        committed = self._consumer.committed(partition, metadata=True)
        return committed is not None and committed.metadata != self._epoch

    def _commit(self) -> None:
        """Note what is written. A commit that fails costs work done twice, nothing else.

        Between two assignments there is nothing to commit, and that is not to be mistaken for a commit.
        """
        if self._assigned.awaited_s:
            return
        positions = {
            partition: OffsetAndMetadata(self._consumer.position(partition), self._epoch, -1)
            for partition in self._consumer.assignment()
        }
        self._committed_at_s = time.monotonic()
        try:
            self._consumer.commit(positions)
        except KafkaError as error:
            log.warning("offsets.kept_back", extra={"problem": str(error)})
            self._dirty = True
            self._refusals += 1
            if self._refusals > COMMIT_REFUSALS_MAX:
                raise DependencyError("kafka group of the writers", str(error), "start the writer again") from error
        else:
            self._dirty, self._refusals = False, 0

    def _observe(self, updates: list[FeatureUpdate], written: Written, took_s: float) -> None:
        now_ms = time.time_ns() // 1_000_000
        metrics.WRITER_BATCH_SECONDS.observe(took_s)
        counts: Counter[tuple[str, str]] = Counter()
        for update, outcomes in zip(updates, written.outcomes, strict=True):
            border = len(update.removals)
            if border:
                removed = zip(update.removals, outcomes, strict=False)
                counts.update((removal.view, "removed" if outcome else "outdated") for removal, outcome in removed)
            for row, outcome in zip(update.rows, outcomes[border:], strict=True):
                counts[row.view, "written" if outcome else "outdated"] += 1
            if True in outcomes[border:]:
                metrics.WRITER_FRESHNESS_SECONDS.observe(max(now_ms - update.received_at_ms, 0) / 1_000)
        for (view, became), count in counts.items():
            metrics.WRITER_ROWS.labels(view, became).inc(count)

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask again and again, with growing pauses, while what we depend on is away."""
        pause_s = RETRY_FIRST_S
        for attempt in range(RETRIES_MAX):
            try:
                return ask()
            except DependencyError as error:
                if attempt == 0:
                    log.warning("dependency.missed", extra={"problem": str(error)})
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_LONGEST_S)
        return ask()


class _Assigned(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes the partitions that a rebalance gave us: inside its callback the consumer cannot be asked anything."""

    def __init__(self) -> None:
        self.partitions: set[TopicPartition] = set()
        self._awaited_since_s: float | None = time.monotonic()

    @property
    def awaited_s(self) -> float:
        """For how long there has been no assignment, were it an empty one; 0 while there is one."""
        return 0.0 if self._awaited_since_s is None else time.monotonic() - self._awaited_since_s

    def take(self) -> set[TopicPartition]:
        """What was noted since the last call."""
        partitions, self.partitions = self.partitions, set()
        return partitions

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.partitions |= set(assigned)
        self._awaited_since_s = None

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing to give back: whoever gets them starts from the last commit, and writing twice is safe."""
        self.partitions -= set(revoked)
        if self._awaited_since_s is None:
            self._awaited_since_s = time.monotonic()


def newest_of_keys(records: Iterable[Any]) -> dict[tuple[str, str], Newest]:
    """The newest per topic and key, in the order of the topic.

    A row that a replay repeats does not replace a later one, and a tombstone that it repeats does not remove one. Of
    several tombstones the union counts: each removes what the earlier ones do.
    """
    found: dict[tuple[str, str], Newest] = {}
    for record in records:
        name = (record.topic, record.key.decode())
        before = found.get(name, NOTHING)
        if record.value is None:
            header = next((value for key, value in record.headers or () if key == HEADER), None)
            found[name] = after_tombstone(before, read_tombstone(header))
        else:
            row, kept = read_row(record.value), before.row
            if row is None:
                continue
            if kept is None or not covers(kept.offsets, row.offsets) or kept.offsets == row.offsets:
                found[name] = Newest(row, before.tombstone)
    return found


def after_tombstone(before: Newest, tombstone: Tombstone) -> Newest:
    """What holds of a key after its tombstone."""
    through, earlier = tombstone.through, before.tombstone
    if through is None or (earlier is not None and earlier.through is None):
        return Newest(tombstone=Tombstone(None))
    if before.row is not None and not covers(through, before.row.offsets):
        return before
    merged = dict(through)
    for partition, offset in (earlier.through or {}).items() if earlier is not None else ():
        merged[partition] = max(merged.get(partition, -1), offset)
    return Newest(tombstone=Tombstone(merged))
