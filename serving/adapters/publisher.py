"""Publishes records to Kafka from its own thread and tells the event loop when Kafka has acknowledged them.

The producer is idempotent and waits for all replicas. It is made in the background and made anew after a failure, so
the server starts, and recovers, without Kafka.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import Any, Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.settings import KafkaSettings
from schemas.errors import DependencyError
from serving.adapters.reachability import is_listening

REMEDY: Final = "send the same events again later; event_id makes that safe"
RECONNECT_S: Final = 1.0
GRACE_S: Final = 0.5
"""How much longer than the producer's own deadline a caller waits for its verdicts."""

log = logging.getLogger(__name__)


class Record(NamedTuple):
    """What is to be published; `event_id` is empty for what is no interaction, `value` None for a deletion."""

    topic: str
    key: str
    value: bytes | None
    event_id: str = ""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Kafka has it. `received_at_ms` is Kafka's timestamp."""

    received_at_ms: int


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """Kafka has not said that it has it; it may have it all the same."""

    problem: str


Outcome = Confirmed | Unconfirmed


@dataclass(slots=True)
class _Batch:
    """Records that were handed over together; settled record by record, from two threads.

    `settled` is told the batch itself: that may be so before whoever handed it over knows what it is.
    """

    records: Sequence[Record]
    settled: Callable[[_Batch], None]
    outcomes: list[Outcome | None] = field(init=False)
    lock: threading.Lock = field(default_factory=threading.Lock)
    open: int = field(init=False)

    def __post_init__(self) -> None:
        self.outcomes = [None] * len(self.records)
        self.open = len(self.records)

    def settle(self, index: int, outcome: Outcome) -> None:
        with self.lock:
            if self.outcomes[index] is not None:
                return
            self.outcomes[index] = outcome
            self.open -= 1
            is_done = self.open == 0
        if is_done:
            self.settled(self)


class Publisher:
    """The way into Kafka. Bounded: beyond `in_flight_max` unacknowledged records it refuses at once."""

    def __init__(self, settings: KafkaSettings, in_flight_max: int, deadline_ms: int) -> None:
        self._settings = settings
        self._deadline_ms = deadline_ms
        self._deadline_s = deadline_ms / 1000
        self._in_flight_max = in_flight_max
        self._in_flight = 0
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._producer: KafkaProducer | None = None
        self._is_suspect = False
        self._failed_at = -RECONNECT_S
        self._confirmed_at = monotonic()
        self._thread = threading.Thread(target=self._run, name="kafka-publisher", daemon=True)
        self.is_connected = False

    def start(self) -> None:
        """Begin to connect, in the background."""
        self._thread.start()

    @property
    def in_flight(self) -> int:
        """Records that Kafka has not acknowledged yet."""
        return self._in_flight

    async def publish(self, records: Sequence[Record]) -> list[Outcome]:
        """Publish all, and return one outcome a record when each is known or the deadline has passed.

        Raises:
            DependencyError: too many records are in flight; none of these was taken.
        """
        if not records:
            return []
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        batch = self._hand_over(records, lambda _: loop.call_soon_threadsafe(self._conclude, len(records), done))
        await asyncio.wait({done}, timeout=self._deadline_s + GRACE_S)
        self._give_up(batch)
        return [outcome for outcome in batch.outcomes if outcome is not None]

    def offer(self, records: Sequence[Record], on_settled: Callable[[int, int], None]) -> None:
        """Publish without waiting; `on_settled` hears how many got there, how many not. Raises as `publish` does."""
        loop = asyncio.get_running_loop()

        def settled(batch: _Batch) -> None:
            confirmed = sum(isinstance(outcome, Confirmed) for outcome in batch.outcomes)
            loop.call_soon_threadsafe(self._conclude, len(records), None)
            loop.call_soon_threadsafe(on_settled, confirmed, len(records) - confirmed)

        self._hand_over(records, settled)

    async def close(self) -> None:
        """Wait for what is in flight, at most for the deadline, and end the thread."""
        self._batches.put(None)
        await asyncio.to_thread(self._thread.join, self._deadline_s + GRACE_S)

    def _give_up(self, batch: _Batch) -> None:
        """Settle what the producer has said nothing of, so that it takes no more room.

        Its own deadline has passed. If it has confirmed nothing meanwhile it is stuck, and what follows gets a new one.
        """
        silent = [index for index, outcome in enumerate(batch.outcomes) if outcome is None]
        if not silent:
            return
        if monotonic() - self._confirmed_at > self._deadline_s:
            self._is_suspect = True
            log.warning("kafka.silent", extra={"bootstrap": self._settings.bootstrap, "records": len(silent)})
        silence = Unconfirmed(f"no acknowledgement within {self._deadline_ms} ms")
        for index in silent:
            batch.settle(index, silence)

    def _hand_over(self, records: Sequence[Record], settled: Callable[[_Batch], Any]) -> _Batch:
        if self._in_flight + len(records) > self._in_flight_max:
            raise DependencyError(f"kafka {self._settings.bootstrap}", f"{self._in_flight} records wait for it", REMEDY)
        self._in_flight += len(records)
        batch = _Batch(records, settled)
        self._batches.put(batch)
        return batch

    def _conclude(self, count: int, done: asyncio.Future[None] | None) -> None:
        self._in_flight -= count
        if done is not None and not done.done():
            done.set_result(None)

    def _run(self) -> None:
        self._ready_producer()
        while (batch := self._batches.get()) is not None:
            for index, record in enumerate(batch.records):
                try:
                    self._send(batch, index, record)
                except Exception as error:  # whatever it is: without this thread nothing would be published ever again
                    log.exception("kafka.failed", extra={"bootstrap": self._settings.bootstrap})
                    self._suspect(batch, index, error)
        if self._producer is not None:
            self._producer.close(timeout=self._deadline_s)

    def _send(self, batch: _Batch, index: int, record: Record) -> None:
        producer = self._ready_producer()
        if producer is None:
            batch.settle(index, Unconfirmed("kafka is away"))
            return
        try:
            future = producer.send(record.topic, key=record.key.encode(), value=record.value)
        except KafkaError as error:
            self._suspect(batch, index, error)
            return
        future.add_callback(partial(self._confirm, batch, index))
        future.add_errback(partial(self._suspect, batch, index))

    def _confirm(self, batch: _Batch, index: int, metadata: Any) -> None:
        self.is_connected = True
        self._confirmed_at = monotonic()
        batch.settle(index, Confirmed(metadata.timestamp))

    def _suspect(self, batch: _Batch, index: int, error: BaseException) -> None:
        self.is_connected = False
        self._is_suspect = True
        batch.settle(index, Unconfirmed(f"{type(error).__name__}: {error}"))

    def _ready_producer(self) -> KafkaProducer | None:
        """The producer; a new one after a failure, because an expired batch may leave an idempotent one unusable."""
        if self._producer is not None and not self._is_suspect:
            return self._producer
        if monotonic() - self._failed_at < RECONNECT_S:
            return None
        if self._producer is not None:
            self._producer.close(timeout=0)
            self._producer = None
        if is_listening(self._settings.host, self._settings.port):
            try:
                self._producer = self._new_producer()
                self._is_suspect, self.is_connected = False, True
                log.info("kafka.connected", extra={"bootstrap": self._settings.bootstrap})
                return self._producer
            except KafkaError as error:
                log.warning("kafka.missed", extra={"bootstrap": self._settings.bootstrap, "problem": str(error)})
        self._failed_at = monotonic()
        return None

    def _new_producer(self) -> KafkaProducer:
        return KafkaProducer(
            bootstrap_servers=self._settings.bootstrap,
            client_id="firth-serving",
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            batch_size=64 * 1024,
            delivery_timeout_ms=self._deadline_ms,
            request_timeout_ms=max(self._deadline_ms - 1_000, self._deadline_ms // 2),
            max_block_ms=min(2_000, self._deadline_ms),
            bootstrap_timeout_ms=min(2_000, self._deadline_ms),
            reconnect_backoff_ms=200,
            reconnect_backoff_max_ms=1_000,
            allow_auto_create_topics=False,
            metrics_enabled=False,
        )
