"""Clicks of a visitor of our own, and how long it takes until the slate shows that it knows them."""

from __future__ import annotations

import http.client
import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal
from uuid import uuid4

from kafka import KafkaProducer
from redis import Redis

from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_SESSION
from infra.settings import Settings
from schemas.errors import DependencyError
from schemas.events import InteractionEvent, encode
from schemas.topics import INTERACTIONS

Route = Literal["http", "kafka"]
ROUTES: Final[tuple[Route, ...]] = ("http", "kafka")
DEADLINE_S: Final = 20.0
POLL_S: Final = 0.002
VISITORS: Final = 40
SHOWN: Final = 10


class Api:
    """One kept connection to the server."""

    def __init__(self, settings: Settings) -> None:
        self._connection = http.client.HTTPConnection(settings.serving.host, settings.serving.port, timeout=30)

    def post(self, path: str, body: bytes) -> Any:
        """The JSON answer.

        Raises:
            DependencyError: it was not a success.
        """
        try:
            status, read = self._exchange(path, body)
        except (http.client.HTTPException, ConnectionError):  # the server ends what has been idle
            self._connection.close()
            status, read = self._exchange(path, body)
        if status >= http.client.BAD_REQUEST:
            raise DependencyError("serving", f"{path}: {status} {read[:300]!r}", "see the server's log")
        return json.loads(read)

    def _exchange(self, path: str, body: bytes) -> tuple[int, bytes]:
        self._connection.request("POST", path, body, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def recommend(self, visitor: str) -> dict[str, Any]:
        """A slate."""
        body = json.dumps({"visitor_id": visitor, "count": SHOWN})
        found: dict[str, Any] = self.post("/v1/recommendations", body.encode())
        return found

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Prober:
    """Clicks on the first item of a visitor's slate, and asks until the slate has the click and shows others.

    It asks when the visitor's hash in Redis has changed, for slates asked for all the time would take half a core from
    what is measured. The time is that to the end of the first answer that knows.
    """

    def __init__(self, settings: Settings) -> None:
        self.api = Api(settings)
        self._topic = INTERACTIONS.named(settings.kafka.topic_prefix).name
        self._redis = Redis(host=settings.redis.host, port=settings.redis.port)
        self._keys = EntityKeys(settings.feast.project, VISITOR_SESSION.join_key)
        self._fields = VISITOR_SESSION.layout().fields
        self._producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=0)
        self._run = uuid4().hex[:8]
        self._number = 0
        self.sent = 0
        self.unseen = 0
        self.degraded: Counter[str] = Counter()

    def probe(self, route: Route) -> float | None:
        """Milliseconds from sending to the first answer that knows; None when no answer did within the deadline."""
        self._number += 1
        visitor = f"probe-{self._run}-{self._number % VISITORS}"
        item = self.api.recommend(visitor)["items"][0]["item_id"]
        seen = self._stored(visitor)
        started = time.perf_counter()
        self.click(route, visitor, item)
        while time.perf_counter() < started + DEADLINE_S:
            stored = self._stored(visitor)
            if stored == seen:
                time.sleep(POLL_S)
                continue
            seen = stored
            slate = self.api.recommend(visitor)
            if knows(slate, item):
                self.degraded.update(slate["degraded"])
                return (time.perf_counter() - started) * 1_000
        self.unseen += 1
        return None

    def _stored(self, visitor: str) -> Any:
        """What the online store has of the visitor's session."""
        return self._redis.execute_command("HMGET", self._keys.key(visitor), *self._fields)

    def click(self, route: Route, visitor: str, item: str) -> Any:
        """Send one: over HTTP the server's answer, which comes when Kafka has it; else the producer's future."""
        self.sent += 1
        event = InteractionEvent(
            event_id=f"{self._run}-{self.sent}",
            visitor_id=visitor,
            item_id=item,
            kind="click",
            occurred_at_ms=time.time_ns() // 1_000_000,
        )
        if route == "http":
            return self.api.post("/v1/events", b"[" + encode(event) + b"]")
        return self._producer.send(self._topic, key=visitor.encode(), value=encode(event))

    def close(self) -> None:
        """End the connections."""
        self._producer.close(timeout=5)
        self._redis.close()
        self.api.close()


def knows(slate: dict[str, Any], item: str) -> bool:
    """Whether the running session has the item, and the slate therefore does not show it."""
    shown: Sequence[str] = [one["item_id"] for one in slate["items"]]
    return item in slate["session"]["items"] and item not in shown
