"""Follows a compacted topic from its start, for ever, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from infra.metrics import SERVING_SKIPPED_RECORDS
from infra.settings import KafkaSettings
from schemas.errors import DependencyError
from schemas.topics import Topic
from serving.adapters.reachability import is_listening

POLL_MS: Final = 200
PROBE_S: Final = 2.0
RETRY_S: Final = 2.0
RETRY_S_MAX: Final = 30.0

log = logging.getLogger(__name__)

TakeNewest = Callable[[Mapping[str, bytes | None]], None]
"""Gets the newest value of each key in a piece of the topic, None where it was deleted."""


class TopicFollower:
    """Feeds `take` with everything that the topic holds and will hold. Starts, and goes on, without the broker.

    `after_poll` is called in the same thread several times a second, whether there was anything to take or not.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topic: Topic,
        take: TakeNewest,
        after_poll: Callable[[], None] = lambda: None,
        connect: Callable[[KafkaSettings], KafkaConsumer] | None = None,
    ) -> None:
        self._settings = settings
        self._topic = topic.named(settings.topic_prefix).name
        self._skipped = SERVING_SKIPPED_RECORDS.labels(topic.name)
        self._take = take
        self._after_poll = after_poll
        self._connect = connect or new_consumer
        self._next_offsets: dict[int, int] = {}
        self._asked: deque[Callable[[], None]] = deque()  # to be told when all that the topic holds has been taken
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow-{self._topic}", daemon=True)
        self.is_caught_up = False
        """Whether all that the topic held when we connected has been taken."""
        self.has_failed = False
        """Whether reading the topic has failed and has not got to its end since."""

    def start(self) -> None:
        """Begin to read, in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop reading and wait for the thread to end."""
        self._stopped.set()
        self._thread.join(timeout=2 * RETRY_S)

    async def catch_up(self, deadline_s: float) -> None:
        """Return when all that the topic holds at this moment has been taken. Raises DependencyError when it has not
        been by the deadline.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()

        def conclude() -> None:
            if not done.done():
                done.set_result(None)

        def tell() -> None:
            loop.call_soon_threadsafe(conclude)

        self._asked.append(tell)
        try:
            async with asyncio.timeout(deadline_s):
                await done
        except TimeoutError as error:
            problem = f"topic {self._topic} was not read to its end within {deadline_s:.0f} s"
            raise DependencyError(f"kafka {self._settings.bootstrap}", problem, "send it again later") from error

    def _run(self) -> None:
        pause_s = RETRY_S
        while not self._stopped.is_set():
            pause_s = RETRY_S if self._attempt() else min(2 * pause_s, RETRY_S_MAX)
            self._stopped.wait(pause_s)

    def _attempt(self) -> bool:
        """Follow until something fails; whether that was the broker, which may be back at once, and no fault of ours.

        This is the boundary of the thread: whatever comes out of it unnoticed would end the following for good.
        """
        try:
            self._after_poll()
            if is_listening(self._settings.host, self._settings.port):
                self._follow()
        except KafkaError as error:
            log.warning("topic.missed", extra={"topic": self._topic, "problem": str(error)})
        except Exception:
            log.exception("topic.failed", extra={"topic": self._topic})
            return False
        finally:
            self.has_failed = True
        return True

    def _follow(self) -> None:
        consumer = self._connect(self._settings)
        try:
            ends = self._begin(consumer)
            heard_at = time.monotonic()
            while not self._stopped.is_set():
                pieces = consumer.poll(timeout_ms=POLL_MS, max_records=5_000)
                if pieces or time.monotonic() - heard_at >= PROBE_S:
                    self._refuse_silence(bool(pieces))
                    heard_at = time.monotonic()
                self._take_pieces(pieces)
                self._after_poll()
                self._tell_who_waits(consumer, tuple(ends))
                if self.has_failed or not self.is_caught_up:
                    self._note_progress(all(consumer.position(partition) >= end for partition, end in ends.items()))
        finally:
            consumer.close()

    def _tell_who_waits(self, consumer: KafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        """Read on to the present end for those who have asked up to now, and tell them. While the follower was away
        they wait, at most as long as they want to.
        """
        count = len(self._asked)
        if not count:
            return
        ends = consumer.end_offsets(partitions)
        while not self._stopped.is_set() and any(consumer.position(each) < end for each, end in ends.items()):
            self._take_pieces(consumer.poll(timeout_ms=POLL_MS, max_records=5_000))
        for _ in range(count):
            self._asked.popleft()()

    def _note_progress(self, is_at_end: bool) -> None:
        """After a failure all is well only at the end of the topic, so that one that comes again is not hidden."""
        if is_at_end:
            self.is_caught_up, self.has_failed = True, False

    def _refuse_silence(self, has_spoken: bool) -> None:
        """The driver polls a broker that has gone without a word: an empty poll does not tell whether it is there."""
        if not has_spoken and not is_listening(self._settings.host, self._settings.port):
            raise KafkaError(f"{self._settings.bootstrap} does not answer any more")

    def _take_pieces(self, pieces: Mapping[TopicPartition, list[Any]]) -> None:
        """Take what was read; only then it counts as read, so that a failure on the way loses nothing."""
        newest: dict[str, bytes | None] = {}
        for records in pieces.values():
            newest |= self._by_key(records)
        if newest:
            self._take(newest)
        for partition, records in pieces.items():
            self._next_offsets[partition.partition] = records[-1].offset + 1

    def _by_key(self, records: Iterable[Any]) -> dict[str, bytes | None]:
        """Values by key. A record whose key is missing or no text can be nobody's: it is skipped and counted."""
        found: dict[str, bytes | None] = {}
        for record in records:
            try:
                found[record.key.decode()] = record.value
            except (AttributeError, UnicodeDecodeError) as error:
                self._skipped.inc()
                where = {"partition": record.partition, "offset": record.offset}
                log.warning("record.skipped", extra={"topic": self._topic, **where, "problem": str(error)})
        return found

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
        ends: dict[TopicPartition, int] = consumer.end_offsets(partitions)
        return ends


def new_consumer(settings: KafkaSettings) -> KafkaConsumer:
    """A consumer of no group, which finds its own way back to a broker that was away."""
    return KafkaConsumer(
        bootstrap_servers=settings.bootstrap,
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
