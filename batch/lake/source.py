"""A topic as the archiver reads it: without a consumer group, from positions that the lake remembers."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from infra.settings import KafkaSettings
from schemas.errors import ConsistencyError, DependencyError
from schemas.topics import ISOLATION_LEVEL, Topic

CONNECT_TIMEOUT_S: Final = 5.0
POSITION_TIMEOUT_MS: Final = 1_000
FETCH_BYTES_MAX: Final = 16 * 1024 * 1024
FETCH_BYTES_WANTED: Final = 256 * 1024
FETCH_WAIT_MS: Final = 500
"""The broker answers when it has so many bytes, or so long after it was asked: nobody waits for the lake, and an answer
for each record that comes costs broker and archiver a quarter of a core each at a thousand a second."""


class TopicLog:
    """A reader of every partition of one topic.

    Every method raises DependencyError when the broker does not answer; the positions stay as they are.
    """

    def __init__(self, kafka: KafkaSettings, topic: Topic) -> None:
        self.topic = topic.named(kafka.topic_prefix).name
        self._bootstrap = kafka.bootstrap
        self._refuse_a_closed_port(kafka)
        with self._answering():
            self._consumer: Any = KafkaConsumer(
                bootstrap_servers=kafka.bootstrap,
                client_id="firth-archiver",
                group_id=None,
                enable_auto_commit=False,
                auto_offset_reset="none",
                isolation_level=ISOLATION_LEVEL,
                fetch_min_bytes=FETCH_BYTES_WANTED,
                fetch_max_wait_ms=FETCH_WAIT_MS,
                fetch_max_bytes=FETCH_BYTES_MAX,
            )

    def __enter__(self) -> TopicLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._consumer.close()

    def bounds(self) -> dict[int, tuple[int, int]]:
        """For each partition the oldest offset that is still there, and the offset that the next record will get."""
        with self._answering():
            partitions = self._consumer.partitions_for_topic(self.topic)
            if not partitions:
                raise DependencyError(
                    f"kafka {self._bootstrap}",
                    f"there is no topic {self.topic}",
                    "create it with `python -m infra.processes.topics`",
                )
            asked = [TopicPartition(self.topic, partition) for partition in sorted(partitions)]
            starts, ends = self._consumer.beginning_offsets(asked), self._consumer.end_offsets(asked)
        return {at.partition: (starts[at], ends[at]) for at in asked}

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read every partition from its position on."""
        self._consumer.assign([TopicPartition(self.topic, partition) for partition in positions])
        for partition, offset in positions.items():
            self._consumer.seek(TopicPartition(self.topic, partition), offset)

    def poll(self, timeout_ms: int, records_max: int) -> list[Any]:
        """The next records (kafka-python's ConsumerRecord), of each partition in offset order; none after the timeout.

        Raises:
            ConsistencyError: the broker no longer has what comes next.
        """
        with self._answering():
            found = self._consumer.poll(timeout_ms=timeout_ms, max_records=records_max)
        return [record for records in found.values() for record in records]

    def positions(self) -> dict[int, int]:
        """The next offset to poll of each partition, above all that was polled and above the markers behind it.

        Raises:
            ConsistencyError: the broker no longer has what comes next.
        """
        with self._answering():
            found = {
                at.partition: self._consumer.position(at, POSITION_TIMEOUT_MS) for at in self._consumer.assignment()
            }
        return {partition: offset for partition, offset in found.items() if offset is not None}

    def _refuse_a_closed_port(self, kafka: KafkaSettings) -> None:
        """Say at once that there is no broker: the client would try for half a minute, and leave sockets open."""
        try:
            socket.create_connection((kafka.host, kafka.port), CONNECT_TIMEOUT_S).close()
        except OSError as error:
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> DependencyError:
        return DependencyError(
            f"kafka {self._bootstrap}",
            str(error) or type(error).__name__,
            "look at `python -m infra status` and `python -m infra logs kafka`",
        )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (OffsetOutOfRangeError, LogTruncationError) as error:
            raise ConsistencyError(f"{self.topic}: the broker lost what the lake has not: {error}") from error
        except KafkaError as error:
            raise self._lost(error) from error
