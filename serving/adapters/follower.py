"""Follows a compacted topic from its start, for ever, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from infra.settings import KafkaSettings
from schemas.topics import Topic
from serving.adapters.reachability import is_listening

POLL_MS: Final = 200
RETRY_S: Final = 2.0

log = logging.getLogger(__name__)

TakeNewest = Callable[[Mapping[str, bytes | None]], None]
"""Gets the newest value of each key in a piece of the topic, None where it was deleted."""


class TopicFollower:
    """Feeds `take` with everything that the topic holds and will hold. Starts, and goes on, without the broker."""

    def __init__(self, settings: KafkaSettings, topic: Topic, take: TakeNewest) -> None:
        self._settings = settings
        self._topic = topic.named(settings.topic_prefix).name
        self._take = take
        self._next_offsets: dict[int, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{self._topic}", daemon=True)
        self.is_caught_up = False
        """Whether all that the topic held when we connected has been taken."""
        self.has_failed = False
        """Whether the broker could not be reached at the last attempt."""

    def start(self) -> None:
        """Begin to read, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait for the thread to end."""
        self._stopped.set()
        self._thread.join(timeout=2 * RETRY_S)

    def _run(self) -> None:
        while not self._stopped.is_set():
            if is_listening(self._settings.host, self._settings.port):
                try:
                    self._follow()
                except KafkaError as error:
                    log.warning("topic.missed", extra={"topic": self._topic, "problem": str(error)})
            self.has_failed = True
            self._stopped.wait(RETRY_S)

    def _follow(self) -> None:
        consumer = self._new_consumer()
        try:
            ends = self._begin(consumer)
            while not self._stopped.is_set():
                pieces = consumer.poll(timeout_ms=POLL_MS, max_records=5_000)
                newest: dict[str, bytes | None] = {}
                for partition, records in pieces.items():
                    newest |= {record.key.decode(): record.value for record in records if record.key is not None}
                    self._next_offsets[partition.partition] = records[-1].offset + 1
                if newest:
                    self._take(newest)
                if not self.is_caught_up:
                    self.is_caught_up = all(consumer.position(partition) >= end for partition, end in ends.items())
        finally:
            consumer.close()

    def _begin(self, consumer: KafkaConsumer) -> dict[TopicPartition, int]:
        """Take all partitions at their start, or where we left off; returns their present ends."""
        numbers = consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise KafkaError(f"topic {self._topic} does not exist yet")
        partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        consumer.assign(partitions)
        for partition in partitions:
            if partition.partition in self._next_offsets:
                consumer.seek(partition, self._next_offsets[partition.partition])
            else:
                consumer.seek_to_beginning(partition)
        self.has_failed = False
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        return ends

    def _new_consumer(self) -> KafkaConsumer:
        return KafkaConsumer(
            bootstrap_servers=self._settings.bootstrap,
            client_id="firth-serving",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            bootstrap_timeout_ms=2_000,
            reconnect_backoff_ms=200,
            reconnect_backoff_max_ms=1_000,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
