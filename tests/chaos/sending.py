"""Producers that do not give up: each shipment is sent until it is acknowledged, and the ledger keeps what was."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Final

import httpx
from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.settings import Settings
from schemas.errors import Reason
from schemas.topics import IMPRESSIONS, INTERACTIONS
from tests.chaos.shipment import Shipment, Subject

PAUSE_S: Final = 0.3
TOGETHER_MAX: Final = 50
Place = tuple[int, int]
"""Partition and offset."""


@dataclass
class Ledger:
    """What the platform has acknowledged, impressions in `shown`. Written by several threads."""

    landed: dict[Place, Shipment] = field(default_factory=dict)
    shown: dict[Place, Shipment] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    rejected: Counter[Reason] = field(default_factory=Counter)
    disputed: list[str] = field(default_factory=list)
    retries: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def land(self, shipment: Shipment, place: Place) -> None:
        """Kafka has it."""
        with self.lock:
            (self.landed if shipment.subject == "interactions" else self.shown)[place] = shipment

    def judge(self, shipment: Shipment, verdict: dict[str, Any]) -> bool:
        """Take the gateway's word; False when the shipment must be sent again."""
        with self.lock:
            match verdict["verdict"]:
                case "accepted" if shipment.reason is None:
                    self.accepted.add(shipment.event_id)
                case "rejected" if shipment.reason is not None and verdict["reason"] == shipment.reason:
                    self.rejected[shipment.reason] += 1
                case "unconfirmed" if shipment.reason is None:
                    return False
                case _:
                    self.disputed.append(f"{verdict} of {shipment.value!r:.300}, to be {shipment.reason or 'accepted'}")
            return True

    @property
    def event_ids(self) -> set[str]:
        """Of every acknowledged event that must be in the lake."""
        with self.lock:
            return self.accepted | {one.event_id for one in self.landed.values() if one.reason is None}


class Sender:
    """Sends what it is handed, over both routes, each in its thread."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        prefix = settings.kafka.topic_prefix
        self._topics: dict[Subject, str] = {
            "interactions": INTERACTIONS.named(prefix).name,
            "impressions": IMPRESSIONS.named(prefix).name,
        }
        self._queues: dict[str, SimpleQueue[Shipment]] = {"kafka": SimpleQueue(), "http": SimpleQueue()}
        self._open = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=run, name=f"chaos-{route}", daemon=True)
            for route, run in (("kafka", self._run_kafka), ("http", self._run_http))
        ]

    def start(self) -> None:
        """Begin to send."""
        for thread in self._threads:
            thread.start()

    def hand_over(self, shipment: Shipment) -> None:
        """Send this; returns at once."""
        with self._lock:
            self._open += 1
        self._queues[shipment.route].put(shipment)

    @property
    def open(self) -> int:
        """Shipments that are not acknowledged."""
        return self._open

    def stop(self) -> None:
        """End the threads; what is open stays open."""
        self._stopped.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=20)

    def _settle(self, count: int = 1) -> None:
        with self._lock:
            self._open -= count

    def _again(self, shipments: Sequence[Shipment]) -> None:
        with self._ledger.lock:
            self._ledger.retries += len(shipments)
        for shipment in shipments:
            self._queues[shipment.route].put(shipment)

    def _run_kafka(self) -> None:
        """Without idempotence: what the client itself sends again is one more duplicate."""
        producer = KafkaProducer(
            bootstrap_servers=self._settings.kafka.bootstrap,
            acks="all",
            enable_idempotence=False,
            linger_ms=10,
            delivery_timeout_ms=15_000,
            request_timeout_ms=5_000,
            max_block_ms=5_000,
            reconnect_backoff_max_ms=1_000,
        )
        try:
            while not self._stopped.is_set():
                shipment = self._next("kafka")
                if shipment is not None:
                    self._produce(producer, shipment)
        finally:
            with suppress(KafkaError):
                producer.close(timeout=5)

    def _produce(self, producer: KafkaProducer, shipment: Shipment) -> None:
        try:
            future = producer.send(self._topics[shipment.subject], key=shipment.key, value=shipment.value)
        except KafkaError:
            self._again([shipment])
            self._stopped.wait(PAUSE_S)
            return
        future.add_callback(lambda landed: self._landed(shipment, (landed.partition, landed.offset)))
        future.add_errback(lambda _: self._again([shipment]))

    def _landed(self, shipment: Shipment, place: Place) -> None:
        self._ledger.land(shipment, place)
        self._settle()

    def _run_http(self) -> None:
        host, port = self._settings.serving.host, self._settings.serving.port
        with httpx.Client(base_url=f"http://{host}:{port}", timeout=15) as client:
            while not self._stopped.is_set():
                first = self._next("http")
                if first is not None:
                    self._post(client, [first, *self._waiting()])

    def _waiting(self) -> list[Shipment]:
        found: list[Shipment] = []
        while len(found) < TOGETHER_MAX - 1 and (more := self._next("http", timeout_s=0)) is not None:
            found.append(more)
        return found

    def _post(self, client: httpx.Client, shipments: list[Shipment]) -> None:
        body = b"[" + b",".join(shipment.value or b"" for shipment in shipments) + b"]"
        try:
            answer = client.post("/v1/events", content=body, headers={"content-type": "application/json"})
            verdicts: list[dict[str, Any]] = answer.json().get("verdicts") or []
        except (httpx.HTTPError, ValueError):
            verdicts = []
        if len(verdicts) != len(shipments):
            self._again(shipments)
            self._stopped.wait(PAUSE_S)
            return
        again = [
            shipment
            for shipment, verdict in zip(shipments, verdicts, strict=True)
            if not self._ledger.judge(shipment, verdict)
        ]
        self._settle(len(shipments) - len(again))
        if again:
            self._again(again)
            self._stopped.wait(PAUSE_S)

    def _next(self, route: str, timeout_s: float = 0.2) -> Shipment | None:
        try:
            return self._queues[route].get(timeout=timeout_s) if timeout_s else self._queues[route].get_nowait()
        except Empty:
            return None


def now_ms() -> int:
    """The wall clock."""
    return time.time_ns() // 1_000_000
