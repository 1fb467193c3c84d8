"""Sends record batches that were made ahead, and learns where each landed and when.

Kafka's produce request, version 3, by hand: https://kafka.apache.org/protocol#The_Messages_Produce
"""

from __future__ import annotations

import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self

from domain.facts import Stamp
from domain.reference import LogRecord
from infra.settings import KafkaSettings
from schemas.errors import DependencyError
from schemas.events import decode_interaction
from tests.benchmark.batches import Batch, Request

_PRODUCE, _VERSION, _ALL_REPLICAS = 0, 3, -1
_TIMEOUT_MS: Final = 30_000
_HEAD: Final = struct.Struct(">hhih5shhiih")
_PARTITION: Final = struct.Struct(">ii")
_ANSWER: Final = struct.Struct(">ihqq")
_NO_LEADER_YET: Final = frozenset({3, 5, 6})
NEW_TOPIC_LIMIT_S: Final = 30.0


@dataclass
class SentLog:
    """What landed: how many events, the next offset of each partition, and of the watched events the place and Kafka's
    timestamp."""

    count: int = 0
    ends: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    watched: list[tuple[Stamp, bytes]] = field(default_factory=list)

    def records(self) -> list[LogRecord]:
        """The watched events, decoded."""
        return [LogRecord(decode_interaction(raw), stamp) for stamp, raw in self.watched]


class Sender:
    """One connection. A request is acknowledged by the broker before the next is sent."""

    def __init__(self, kafka: KafkaSettings, topic: str) -> None:
        self._socket = socket.create_connection((kafka.host, kafka.port), timeout=_TIMEOUT_MS / 1_000)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._topic = topic.encode()
        self._number = 0
        self.log = SentLog()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._socket.close()

    def send(self, request: Request) -> None:
        """Send, and take note of where it landed. What has no leader yet, as in a new topic, is sent again.

        Raises:
            DependencyError: the broker refused a batch.
        """
        deadline, batches = time.monotonic() + NEW_TOPIC_LIMIT_S, request.batches
        while batches := self._send(batches):
            if time.monotonic() > deadline:
                raise DependencyError("kafka", f"no leader within {NEW_TOPIC_LIMIT_S:.0f} s", "see the broker's log")
            time.sleep(0.1)

    def _send(self, batches: list[Batch]) -> list[Batch]:
        """The batches that must be sent again."""
        parts = [_PARTITION.pack(one.partition, len(one.raw)) + one.raw for one in batches]
        self._number += 1
        head = _HEAD.pack(
            _PRODUCE, _VERSION, self._number, 5, b"bench", -1, _ALL_REPLICAS, _TIMEOUT_MS, 1, len(self._topic)
        )
        body = b"".join((head, self._topic, struct.pack(">i", len(parts)), *parts))
        self._socket.sendall(struct.pack(">i", len(body)) + body)
        return self._note(batches, self._receive(struct.unpack(">i", self._receive(4))[0]))

    def send_all(self, requests: Iterable[Request]) -> None:
        """One after the other, as fast as the broker takes them."""
        for request in requests:
            self.send(request)

    def send_paced(self, requests: Iterable[Request], rate: float, goes_on: Callable[[], bool] = lambda: True) -> float:
        """`rate` events a second; returns the rate that was reached, which is lower when the broker did not keep up."""
        started_s, sent = time.monotonic(), 0
        for request in requests:
            early_s = started_s + sent / rate - time.monotonic()
            if early_s > 0:
                time.sleep(early_s)
            if not goes_on():
                break
            self.send(request)
            sent += request.count
        return sent / max(time.monotonic() - started_s, 1e-9)

    def _note(self, batches: list[Batch], answer: bytes) -> list[Batch]:
        """Read the answer: correlation id, one topic with its name, and then the partitions, in any order."""
        at = 4 + 4 + 2 + len(self._topic) + 4
        again, sent = [], {batch.partition: batch for batch in batches}
        for _ in batches:
            partition, error, offset, at_ms = _ANSWER.unpack_from(answer, at)
            at += _ANSWER.size
            batch = sent[partition]
            if error in _NO_LEADER_YET:
                again.append(batch)
            elif error:
                raise DependencyError("kafka", f"refused a batch with error {error}", "see the broker's log")
            else:
                self.log.count += batch.count
                self.log.ends[partition] = offset + batch.count
                self.log.watched += [(Stamp(at_ms, partition, offset + place), raw) for place, raw in batch.watched]
        return again

    def _receive(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            part = self._socket.recv(count - len(received))
            if not part:
                raise DependencyError("kafka", "closed the connection", "see the broker's log")
            received += part
        return bytes(received)
