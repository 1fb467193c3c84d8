"""What a job wrote, read back when it is over: how far it was when, how old its rows were, and the last of each key."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition

from domain.rows import Row, decode_row
from speed.tombstones import HEADER

FETCH_BYTES: Final = 16 * 1024 * 1024


class Moment(NamedTuple):
    """A row left: when Kafka had it (epoch ms), how long after its newest record, what it includes, and its bytes."""

    at_ms: int
    age_ms: int
    offsets: tuple[tuple[int, int], ...]
    size: int


@dataclass
class RowLog:
    """The rows of one topic in the order in which they left, and the newest few of the watched keys."""

    moments: list[Moment] = field(default_factory=list)
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def between(self, from_ms: float, to_ms: float) -> list[Moment]:
        """The rows that left between two instants."""
        return [moment for moment in self.moments if from_ms <= moment.at_ms < to_ms]

    def first_after(self, at_ms: float) -> int | None:
        """When the first row left after an instant."""
        return min((moment.at_ms for moment in self.moments if moment.at_ms >= at_ms), default=None)

    def progress(self) -> Iterator[tuple[int, int]]:
        """Over time: an instant, and how many records of the log the job had taken in by then."""
        newest: dict[int, int] = defaultdict(lambda: -1)
        taken = 0
        for moment in self.moments:
            for partition, offset in moment.offsets:
                if offset > newest[partition]:
                    taken += offset - newest[partition]
                    newest[partition] = offset
            yield moment.at_ms, taken

    def reached(self, *counts: float) -> list[int]:
        """When so many records had been taken in, for each of the ascending counts."""
        found: list[int] = []
        for at_ms, taken in self.progress():
            while len(found) < len(counts) and taken >= counts[len(found)]:
                found.append(at_ms)
        if len(found) < len(counts):
            raise AssertionError(f"the rows do not tell of {counts[len(found)]:.0f} records")
        return found


def read_rows(bootstrap: str, topic: str, watched: Iterable[str]) -> RowLog:
    """All of a changelog, up to where it ends now."""
    found, keys = RowLog(), frozenset(watched)
    for record in read_topic(bootstrap, topic):
        if record.value is None or any(name == HEADER for name, _ in record.headers):
            continue  # a tombstone
        row = decode_row(record.value)
        age_ms = record.timestamp - row.received_at_ms
        found.moments.append(Moment(record.timestamp, age_ms, tuple(row.offsets.items()), len(record.value)))
        key = record.key.decode()
        if key in keys:
            found.rows[key].append(row)
    found.moments.sort()
    return found


def read_topic(bootstrap: str, topic: str) -> Iterator[Any]:
    """Its records, partition by partition."""
    with closing(
        KafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=FETCH_BYTES,
        )
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(at) < end for at, end in ends.items()):
            for records in consumer.poll(timeout_ms=1_000, max_records=20_000).values():
                yield from records


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p90, p99, max and n, rounded to a tenth; nothing of no values."""
    if not values:
        return {"n": 0}
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)], 1)

    return {"p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "max_ms": at(1.0), "n": len(ordered)}
