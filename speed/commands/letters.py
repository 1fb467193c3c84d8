"""The dead letters, each once, and the marks of those that were sent again.

The job writes at least once, so a record may have several letters; they are alike. A mark is a record of its own
topic under the key of its letter: it outlives the command, and a letter's own retention.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType

import msgspec
from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.processes.topics import ensure_topics
from infra.settings import KafkaSettings
from schemas.errors import DependencyError
from schemas.events import DeadLetter, decode
from schemas.topics import DEAD_LETTERS, INTERACTIONS, REDRIVEN
from speed.commands.log import reading, refuse_a_closed_port

Place = tuple[int, int]
"""Partition and offset of the refused record."""

ACKNOWLEDGED_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and when its record was sent again, if it was, in epoch milliseconds."""

    content: DeadLetter
    redriven_at_ms: int | None

    @property
    def place(self) -> Place:
        """Where the refused record stood."""
        return self.content.partition, self.content.offset

    @property
    def key(self) -> bytes | None:
        """The refused record's key."""
        encoded = self.content.key_base64
        return None if encoded is None else base64.b64decode(encoded)

    @property
    def value(self) -> bytes:
        """The refused record's value; one that it had not is empty."""
        return base64.b64decode(self.content.raw_base64)


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Says that the record of a dead letter was sent again."""

    redriven_at_ms: int
    event_id: str


def name_of(place: Place) -> str:
    """`PARTITION:OFFSET`, which is also the key of the letter and of its mark."""
    return f"{place[0]}:{place[1]}"


class Letterbox:
    """Reads letters and marks, sends records again. Its methods raise DependencyError when Kafka does not answer."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._producer: KafkaProducer | None = None
        ensure_topics(kafka, [REDRIVEN])  # an older platform has none

    def __enter__(self) -> Letterbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._producer is not None:
            self._producer.close()

    def letters(self) -> Iterator[Letter]:
        """Every letter once, the oldest first."""
        marks = self._marks()
        seen: set[Place] = set()
        with reading(self._kafka, DEAD_LETTERS.named(self._kafka.topic_prefix).name) as topic:
            for record in topic.records():
                content = decode(DeadLetter, record.value)
                place = (content.partition, content.offset)
                if place not in seen:
                    seen.add(place)
                    yield Letter(content, marks.get(name_of(place)))

    def send(self, records: Iterable[tuple[bytes | None, bytes]]) -> None:
        """Append keys and values to the interactions; returns when Kafka has them all."""
        topic = INTERACTIONS.named(self._kafka.topic_prefix).name
        self._publish(topic, records)

    def mark(self, marks: Iterable[tuple[Place, Mark]]) -> None:
        """Note that the records of these letters were sent."""
        topic = REDRIVEN.named(self._kafka.topic_prefix).name
        self._publish(topic, ((name_of(place).encode(), msgspec.json.encode(mark)) for place, mark in marks))

    def _marks(self) -> dict[str, int]:
        with reading(self._kafka, REDRIVEN.named(self._kafka.topic_prefix).name) as topic:
            return {
                record.key.decode(): msgspec.json.decode(record.value, type=Mark).redriven_at_ms
                for record in topic.records()
                if record.value is not None
            }

    def _publish(self, topic: str, records: Iterable[tuple[bytes | None, bytes]]) -> None:
        try:
            producer = self._connected()
            sent = [producer.send(topic, key=key, value=value) for key, value in records]
            for future in sent:
                future.get(timeout=ACKNOWLEDGED_WITHIN_S)
        except KafkaError as error:
            raise DependencyError(
                f"kafka {self._kafka.bootstrap}",
                str(error) or type(error).__name__,
                "run the command again: what was sent twice counts once",
            ) from error

    def _connected(self) -> KafkaProducer:
        if self._producer is None:
            refuse_a_closed_port(self._kafka)
            self._producer = KafkaProducer(bootstrap_servers=self._kafka.bootstrap, acks="all", linger_ms=5)
        return self._producer
