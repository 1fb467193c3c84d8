"""A Kafka topic in memory, as the archiver reads it, and a clock that a test sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import DependencyError
from schemas.events import encode
from tests.builders import START_MS, interaction


@dataclass(frozen=True)
class KafkaRecord:
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes
    is_marker: bool = False
    """A transaction's marker has an offset, and no consumer gives it out."""


class TopicInMemory:
    """A topic of two partitions, and one reader's place in it."""

    def __init__(self, partitions: int = 2, topic: str = "interactions") -> None:
        self.topic = topic
        self.records: dict[int, list[KafkaRecord]] = {partition: [] for partition in range(partitions)}
        self.starts: dict[int, int] = defaultdict(int)
        self.is_away = False
        self._positions: dict[int, int] = {}

    def add(self, event_id: str, *, at_ms: int = START_MS, partition: int = 0, key: bytes = b"ada") -> None:
        """One interaction of ada."""
        self.add_raw(encode(interaction(event_id, at_ms=at_ms)), at_ms=at_ms, partition=partition, key=key)

    def add_raw(self, value: bytes, *, at_ms: int = START_MS, partition: int = 0, key: bytes = b"ada") -> None:
        log = self.records[partition]
        log.append(KafkaRecord(partition, len(log), at_ms, key, value))

    def add_marker(self, *, partition: int = 0) -> None:
        log = self.records[partition]
        log.append(KafkaRecord(partition, len(log), START_MS, None, b"", is_marker=True))

    def another_reader(self) -> TopicInMemory:
        reader = TopicInMemory()
        reader.records, reader.starts = self.records, self.starts
        return reader

    def bounds(self) -> dict[int, tuple[int, int]]:
        if self.is_away:
            raise DependencyError("kafka", "is away", "wait")
        return {partition: (self.starts[partition], len(log)) for partition, log in self.records.items()}

    def seek(self, positions: Mapping[int, int]) -> None:
        self._positions = dict(positions)

    def poll(self, timeout_ms: int, records_max: int) -> list[KafkaRecord]:
        found = [one for log in self.records.values() for one in log if one.offset >= self._positions[one.partition]]
        for one in found[:records_max]:
            self._positions[one.partition] = one.offset + 1
        return [one for one in found[:records_max] if not one.is_marker]

    def positions(self) -> dict[int, int]:
        return dict(self._positions)


class Clock:
    """A wall clock that stands still until it is set."""

    def __init__(self) -> None:
        self.at_ms = START_MS

    def __call__(self) -> int:
        return self.at_ms
