"""What a server reads: rows of known visitors in both stores, the catalogue and the items' states on their topics.

Rows are made by the domain, as the layers make them: some hundreds of different ones, which many visitors share. What
is read and merged costs what its content costs, and not whose it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from random import Random
from typing import Any, Final

from kafka import KafkaProducer
from redis import Redis

from domain.facts import Stamp, to_fact
from domain.features import GENERATION, batch_only_of, column_names, features_of
from domain.merge import Cells, session_cells, stream_cells
from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS, Policies
from domain.reference import totals
from domain.states import ItemState, VisitorState
from feature_repo.cassandra_table import Address, RowTable, connect
from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_HISTORY, VISITOR_RECENT, VISITOR_SESSION
from infra.settings import Settings
from schemas.events import InteractionContext, InteractionEvent, ItemEvent, encode
from schemas.topics import ITEM_STATES, ITEMS
from tests.benchmark.shop import KINDS, categories_of, item_id

SESSION_EVENTS: Final = 5.0
RECENT_EVENTS: Final = 8
HISTORY_EVENTS: Final = 30
HISTORY_DAYS: Final = 20
TOGETHER: Final = 500
TRENDING_ITEMS: Final = 500
PUBLICATION: Final = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """One visitor's rows: fields and values in turn for Redis, and the blob for Cassandra."""

    speed: list[bytes]
    history: bytes


def known(number: int) -> str:
    """The id of a visitor with rows."""
    return f"known-{number:010x}"


def unknown(number: int) -> str:
    """The id of a visitor without."""
    return f"fresh-{number:010x}"


class Profiles:
    """Makes different visitors: a session that runs, the day's other acts, and the weeks before the last cutoff."""

    def __init__(self, items: int, now_ms: int, *, seed: int = 1) -> None:
        self._items = items
        self._now_ms = now_ms
        self._cutoff_ms = now_ms - now_ms % DAY_MS
        self._draw = Random(f"profiles {seed}")
        self._policies = Policies()
        self._offset = 0

    def __iter__(self) -> Iterator[Profile]:
        while True:
            yield self._profile()

    def item_states(self, count: int) -> Iterator[tuple[str, bytes]]:
        """Items that are acted on, more of late than before, as the changelog has them."""
        for rank in self._draw.sample(range(self._items), min(count, self._items)):
            state = ItemState.load(None, self._policies)
            for at_ms in self._instants(self._now_ms - 6 * HOUR_MS, self._now_ms, 12):
                state.add(to_fact(self._event(rank, at_ms), at_ms), self._stamp(at_ms))
            yield item_id(rank), state.dump()

    def _profile(self) -> Profile:
        state = VisitorState.load(None, self._policies)
        centre = self._rank()
        length = 1 + min(int(self._draw.expovariate(1 / SESSION_EVENTS)), 40)
        today = self._instants(self._now_ms - 10 * HOUR_MS, self._now_ms - 2 * HOUR_MS, RECENT_EVENTS)
        session = self._instants(self._now_ms - 8 * MINUTE_MS, self._now_ms - 5_000, length)
        for at_ms in today:
            state.observe(self._event(self._rank(), at_ms), self._stamp(at_ms))
        for at_ms in session:
            near = (centre + round(self._draw.gauss(0, 60))) % self._items
            state.observe(self._event(near, at_ms), self._stamp(at_ms))
        values = session_cells(state.row, self._policies)
        assert values is not None, "somebody who acted has a session"
        recent = stream_cells("visitor", state.row)
        speed = [
            *VISITOR_SESSION.layout().encode(values, self._now_ms),
            *VISITOR_RECENT.layout().encode(recent, self._now_ms),
        ]
        layout, history = VISITOR_HISTORY.layout(), self._history()
        return Profile(speed, layout.encode_blob([history[name] for name in layout.features]))

    def _history(self) -> Cells:
        """The batch row of the weeks until the last midnight."""
        first_ms = self._cutoff_ms - HISTORY_DAYS * DAY_MS
        instants = self._instants(first_ms, self._cutoff_ms, HISTORY_EVENTS)
        found = totals("visitor", [to_fact(self._event(self._rank(), at), at) for at in instants], self._policies)
        cells: dict[str, Any] = {"cutoff_ms": self._cutoff_ms, "history_generation": GENERATION}
        for feature in features_of("visitor"):
            packed = feature.aggregate.pack_total(found[feature.name])
            cells.update(zip(column_names(feature.total_columns()), packed, strict=True))
        for counted in batch_only_of("visitor"):
            cells.update(dict.fromkeys(column_names(counted.total_columns()), 7))
        return cells

    def _instants(self, first_ms: int, last_ms: int, count: int) -> list[int]:
        return sorted(self._draw.randrange(first_ms, last_ms) for _ in range(count))

    def _rank(self) -> int:
        """Nearly Zipf: the probability goes with 1 / rank."""
        return min(int(self._items ** self._draw.random()) - 1, self._items - 1)

    def _stamp(self, at_ms: int) -> Stamp:
        self._offset += 1
        return Stamp(at_ms, 0, self._offset)

    def _event(self, rank: int, at_ms: int) -> InteractionEvent:
        kind = self._draw.choices(list(KINDS), list(KINDS.values()))[0]
        value = {"purchase": 19.99, "rating": 4.0, "play": 90_000.0}.get(kind)
        return InteractionEvent(
            event_id=f"{self._draw.getrandbits(64):016x}",
            visitor_id="somebody",
            item_id=item_id(rank),
            kind=kind,
            occurred_at_ms=at_ms,
            value=value,
            context=InteractionContext(categories=categories_of(rank), utc_offset_min=60),
        )


def fill_redis(settings: Settings, profiles: Sequence[Profile], visitors: int) -> None:
    """The speed rows of the visitors."""
    keys = EntityKeys(settings.feast.project, VISITOR_SESSION.join_key)
    client: Any = Redis(settings.redis.host, settings.redis.port)
    for first in range(0, visitors, TOGETHER):
        pipe = client.pipeline(transaction=False)
        for number in range(first, min(first + TOGETHER, visitors)):
            pipe.execute_command("HSET", keys.key(known(number)), *profiles[number % len(profiles)].speed)
        pipe.execute()
    client.close()


def fill_cassandra(settings: Settings, profiles: Sequence[Profile], visitors: int) -> None:
    """The batch rows of the visitors."""
    keys, ring = EntityKeys(settings.feast.project, VISITOR_HISTORY.join_key), settings.cassandra
    cluster, session = connect(Address((ring.host,), ring.port, ring.local_datacentre), request_timeout_s=60)
    try:
        table = RowTable(session, ring.keyspace, settings.feast.project, VISITOR_HISTORY.name)
        rows = ((keys.partition(known(number)), profiles[number % len(profiles)].history) for number in range(visitors))
        while some := list(islice(rows, TOGETHER)):
            table.write(some, datetime.now(UTC), PUBLICATION)
    finally:
        cluster.shutdown()


def fill_topics(settings: Settings, items: int, states: Iterator[tuple[str, bytes]]) -> None:
    """The catalogue, and the items of which the stream says that they are trending."""
    prefix = settings.kafka.topic_prefix
    producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20, compression_type="gzip")
    for rank in range(items):
        item = ItemEvent(
            item_id=item_id(rank),
            title=f"Thing number {rank}",
            categories=categories_of(rank),
            price_micros=1_000_000 * (5 + rank % 90),
        )
        producer.send(ITEMS.named(prefix).name, key=item.item_id.encode(), value=encode(item))
    for name, raw in states:
        producer.send(ITEM_STATES.named(prefix).name, key=name.encode(), value=raw)
    producer.flush()
    producer.close()


def now_ms() -> int:
    """UTC epoch milliseconds."""
    return time.time_ns() // 1_000_000
