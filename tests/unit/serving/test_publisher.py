"""The publisher when the producer is not what it should be: stuck, or throwing what nobody expects."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.producer.future import FutureProduceResult

from infra.settings import KafkaSettings
from serving.adapters import publisher as module
from serving.adapters.publisher import Confirmed, Publisher, Record, Unconfirmed
from tests.waiting import wait_until, wait_until_async

RECORDS = [Record("topic", f"v{number}", b"value") for number in range(3)]
DEADLINE_MS = 200


class Metadata:
    """What Kafka says of a record that it has."""

    timestamp = 7


class Answering:
    """A producer that confirms at once."""

    def send(self, topic: str, key: bytes, value: bytes) -> Answering:
        return self

    def add_callback(self, hear: Any) -> None:
        hear(Metadata())

    def add_errback(self, hear: Any) -> None:
        """Nothing fails."""

    def close(self, timeout: float) -> None:
        """Nothing is open."""


class Silent(Answering):
    """A producer that takes records and never says anything of them."""

    def add_callback(self, hear: Any) -> None:
        """It is not heard."""


class Astonishing(Answering):
    """A producer that fails as no KafkaError says."""

    def send(self, topic: str, key: bytes, value: bytes) -> Answering:
        raise AttributeError("no such thing")


@pytest.fixture
def producers(monkeypatch: pytest.MonkeyPatch) -> list[Answering]:
    """What the publisher is given, one after the other."""
    waiting: list[Answering] = []
    monkeypatch.setattr(module, "is_listening", lambda host, port: True)
    monkeypatch.setattr(module, "RECONNECT_S", 0.0)
    monkeypatch.setattr(module, "GRACE_S", 0.05)
    monkeypatch.setattr(Publisher, "_new_producer", lambda self: waiting.pop(0))
    return waiting


def started(in_flight_max: int = 5) -> Publisher:
    publisher = Publisher(KafkaSettings(port=1), in_flight_max, DEADLINE_MS)
    publisher.start()
    return publisher


@pytest.mark.parametrize("broken", [Silent, Astonishing])
async def test_a_producer_that_is_stuck_or_fails_strangely_is_replaced(
    producers: list[Answering], broken: type[Answering]
) -> None:
    producers += [broken(), *(Answering() for _ in RECORDS)]
    publisher = started()
    first = await publisher.publish(RECORDS[:1])
    assert isinstance(first[0], Unconfirmed)
    assert await publisher.publish(RECORDS) == [Confirmed(7)] * 3
    await publisher.close()


async def test_what_nobody_answered_takes_no_room(producers: list[Answering]) -> None:
    producers += [Silent() for _ in range(4)]
    publisher = started(in_flight_max=5)

    async def is_empty() -> bool:
        return publisher.in_flight == 0

    for _ in range(3):
        assert all(isinstance(outcome, Unconfirmed) for outcome in await publisher.publish(RECORDS))
        await wait_until_async(is_empty, 2, "room")
    await publisher.close()


async def test_an_offer_that_is_settled_before_it_has_been_handed_over_is_heard_of_and_takes_no_room(
    producers: list[Answering], monkeypatch: pytest.MonkeyPatch
) -> None:
    producers.append(Answering())
    publisher, heard = started(), list[tuple[int, int]]()
    hand_over = publisher._hand_over

    def hand_over_slowly(records: Any, settled: Any) -> Any:
        batch = hand_over(records, settled)
        wait_until(lambda: batch.open == 0, 2, "the thread, which is quicker")
        return batch

    monkeypatch.setattr(publisher, "_hand_over", hand_over_slowly)
    publisher.offer(RECORDS, lambda confirmed, lost: heard.append((confirmed, lost)))

    async def is_heard() -> bool:
        return heard == [(3, 0)] and publisher.in_flight == 0

    await wait_until_async(is_heard, 2, "what became of it")
    await publisher.close()


def test_the_fakes_have_what_is_used_of_kafkas_own() -> None:
    assert {"send", "close"} <= set(dir(KafkaProducer))
    assert {"add_callback", "add_errback"} <= set(dir(FutureProduceResult))
