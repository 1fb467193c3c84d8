"""Kafka as the commands see it: where partitions begin and end, and topics read once from beginning to end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from infra.processes.readiness import PortAnswers
from infra.settings import KafkaSettings
from schemas.errors import DependencyError

POLL_MS: Final = 1_000
SILENCE_MAX: Final = 30
"""So many empty polls before the end is reached are a broker that does not answer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A partition: its oldest offset that is still there, and the one that the next record gets."""

    first: int
    until: int


class TopicReader:
    """A reader of one topic, without a consumer group unless it shall see the offsets of one."""

    def __init__(self, consumer: Any, topic: str, address: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._address = address

    def bounds(self) -> dict[int, Bounds]:
        """By partition; raises DependencyError when there is no such topic."""
        partitions = self._partitions()
        starts, ends = self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        return {at.partition: Bounds(starts[at], ends[at]) for at in partitions}

    def first_at(self, at_ms: int) -> dict[int, int | None]:
        """By partition the first offset that was received at `at_ms` or later; None: none was."""
        found = self._consumer.offsets_for_times(dict.fromkeys(self._partitions(), at_ms))
        return {at.partition: None if answer is None else answer.offset for at, answer in found.items()}

    def oldest_at_ms(self) -> dict[int, int | None]:
        """By partition when its oldest record was received; None where there is none."""
        found = self._consumer.offsets_for_times(dict.fromkeys(self._partitions(), 0))
        return {at.partition: None if answer is None else answer.timestamp for at, answer in found.items()}

    def committed(self) -> dict[int, int]:
        """What the consumer's group has committed, by partition; those of which it has nothing are left out."""
        found = {at.partition: self._consumer.committed(at) for at in self._partitions()}
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def records(self) -> Iterator[Any]:
        """Every record that is there now (kafka-python's ConsumerRecord), of each partition in offset order."""
        ends = {TopicPartition(self._topic, number): found.until for number, found in self.bounds().items()}
        self._consumer.assign(list(ends))
        self._consumer.seek_to_beginning()
        silence = 0
        while any(self._consumer.position(at) < end for at, end in ends.items()):
            found = self._consumer.poll(timeout_ms=POLL_MS)
            silence = 0 if found else silence + 1
            if silence > SILENCE_MAX:
                raise DependencyError(self._address, f"{self._topic} stopped answering", "is the broker up?")
            for at, records in found.items():
                yield from (record for record in records if record.offset < ends[at])

    def _partitions(self) -> list[TopicPartition]:
        partitions = self._consumer.partitions_for_topic(self._topic)
        if not partitions:
            raise DependencyError(
                self._address, f"there is no topic {self._topic}", "create it: `python -m infra.processes.topics`"
            )
        return [TopicPartition(self._topic, number) for number in sorted(partitions)]


@contextmanager
def reading(kafka: KafkaSettings, topic: str, group: str | None = None) -> Iterator[TopicReader]:
    """A reader of the topic; `topic` is its full name. Raises DependencyError when the broker does not answer."""
    address = f"kafka {kafka.bootstrap}"
    refuse_a_closed_port(kafka)
    try:
        with closing(
            KafkaConsumer(
                bootstrap_servers=kafka.bootstrap,
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
        ) as consumer:
            yield TopicReader(consumer, topic, address)
    except KafkaError as error:
        raise DependencyError(
            address, str(error) or type(error).__name__, "look at `python -m infra logs kafka`"
        ) from error


def refuse_a_closed_port(kafka: KafkaSettings) -> None:
    """Say at once that there is no broker: the client would try for half a minute."""
    if not PortAnswers(kafka.host, kafka.port).holds(0):
        raise DependencyError(f"kafka {kafka.bootstrap}", "nothing answers there", "start it: `python -m infra up`")


def missing_from(needed_ms: int, bounds: Mapping[int, Bounds], oldest_at_ms: Mapping[int, int | None]) -> list[int]:
    """The partitions that may lack records received at `needed_ms` or later, because their beginning was let go.

    What was let go is older than what is there; so only where something was, and the oldest that is there is younger
    than `needed_ms`, something that is needed may be gone. A partition that was let go whole tells nothing of when:
    it counts only when all of the log is needed.
    """
    found = []
    for partition, bound in bounds.items():
        oldest_ms = oldest_at_ms.get(partition)
        was_cut = bound.first > 0
        if was_cut and (needed_ms == 0 if oldest_ms is None else oldest_ms > needed_ms):
            found.append(partition)
    return found
