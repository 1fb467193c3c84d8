"""A follower's thread outlives whatever a topic holds."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import prometheus_client
import pytest
from kafka import TopicPartition

from infra.settings import KafkaSettings
from schemas.errors import DependencyError
from schemas.topics import ITEMS
from serving.adapters import follower as follower_module
from serving.adapters.follower import TakeNewest, TopicFollower
from tests.waiting import wait_until

PARTITION = TopicPartition("items", 0)


@dataclass(frozen=True)
class FakeRecord:
    offset: int
    key: bytes | None
    value: bytes | None = b"{}"
    partition: int = 0


@dataclass
class FakeTopic:
    """One partition; a consumer of it, too."""

    keys: list[bytes | None]
    position_now: int = 0
    opened: int = 0
    closed: int = 0
    failures: deque[Exception] = field(default_factory=deque)

    def connect(self, _: KafkaSettings) -> Any:
        self.opened += 1
        return self

    def partitions_for_topic(self, topic: str) -> set[int]:
        return {0}

    def assign(self, partitions: list[TopicPartition]) -> None:
        assert partitions == [PARTITION]

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.position_now = offset

    def seek_to_beginning(self, _: TopicPartition) -> None:
        self.position_now = 0

    def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, len(self.keys))

    def position(self, _: TopicPartition) -> int:
        return self.position_now

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[FakeRecord]]:
        if self.failures:
            raise self.failures.popleft()
        found = [FakeRecord(offset, key) for offset, key in enumerate(self.keys)][self.position_now :]
        self.position_now = len(self.keys)
        return {PARTITION: found} if found else {}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "RETRY_S", 0.01)
    monkeypatch.setattr(follower_module, "PROBE_S", 0.05)


@contextmanager
def following(topic: FakeTopic, take: TakeNewest, broker: socket.socket) -> Iterator[TopicFollower]:
    settings = KafkaSettings(port=broker.getsockname()[1])
    made = TopicFollower(settings, ITEMS, take, connect=topic.connect)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def broker() -> Iterator[socket.socket]:
    """Something that listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        yield made


def skipped() -> float:
    found = prometheus_client.REGISTRY.get_sample_value("firth_serving_skipped_records_total", {"topic": "items"})
    assert found is not None
    return found


def test_a_key_that_is_no_text_is_skipped_and_counted(broker: socket.socket) -> None:
    taken: dict[str, bytes | None] = {}
    before = skipped()
    with following(FakeTopic([b"a", b"\xff\xfe", None, b"b"]), taken.update, broker) as follower:
        wait_until(lambda: follower.is_caught_up, 5, "the end of the topic")
        assert not follower.has_failed
    assert set(taken) == {"a", "b"}
    assert skipped() - before == 2


def test_a_failure_that_nobody_foresaw_is_said_and_tried_again_and_loses_nothing(broker: socket.socket) -> None:
    taken: dict[str, bytes | None] = {}
    problems = deque([ValueError("not foreseen"), RuntimeError("nor this")])

    def take(newest: Mapping[str, bytes | None]) -> None:
        if problems:
            raise problems.popleft()
        taken.update(newest)

    topic = FakeTopic([b"a", b"b"])
    with following(topic, take, broker) as follower:
        wait_until(lambda: follower.is_caught_up, 5, "the end of the topic")
        assert not follower.has_failed
    assert set(taken) == {"a", "b"}
    assert topic.opened == topic.closed == 3


async def test_who_waits_for_the_end_of_the_topic_is_told_when_all_of_it_has_been_taken(broker: socket.socket) -> None:
    taken: dict[str, bytes | None] = {}
    topic = FakeTopic([b"a"])
    with following(topic, taken.update, broker) as follower:
        wait_until(lambda: follower.is_caught_up, 5, "the end of the topic")
        topic.keys += [b"b", b"c"]
        await follower.catch_up(5)
        assert set(taken) == {"a", "b", "c"}


async def test_who_waits_for_a_topic_that_nobody_follows_is_told_after_a_while(broker: socket.socket) -> None:
    follower = TopicFollower(KafkaSettings(port=broker.getsockname()[1]), ITEMS, lambda newest: None)
    with pytest.raises(DependencyError, match="items"):
        await follower.catch_up(0.01)


def test_a_broker_that_goes_without_a_word_is_noticed(broker: socket.socket) -> None:
    with following(FakeTopic([b"a"]), lambda newest: None, broker) as follower:
        wait_until(lambda: follower.is_caught_up, 5, "the end of the topic")
        broker.close()
        wait_until(lambda: follower.has_failed, 5, "the follower to notice")
