"""What a changelog row costs the feature writer, stage by stage, and what it takes in Redis.

    python -m tests.benchmark.bench_writer [--rows 1000] [--rounds 7]

Rows are made by the domain and handed over in batches of `--rows`, each of another key, so that none is passed over.
Starts a Redis of its own. Figures are CPU time: of this process by stage, and of Redis. They are the least of the
rounds, because whoever else computes can only add to them; "yardstick" is a thousand steps of an empty loop, to compare
machines and moments by. "again" are the rows of the same keys after one more event: there, buckets that are over are
known. Kafka is not here: `bench_speed` has the whole process. The numbers are written to bench/results/writer.json.
"""

from __future__ import annotations

import argparse
import gc
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from redis import Redis

from domain.facts import Stamp, to_fact
from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS, Policies
from domain.rows import encode_row
from domain.states import ItemState, VisitorState
from infra.processes import redis
from infra.settings import Settings
from schemas.events import InteractionContext, InteractionEvent, Kind
from speed.writer.finishing import FeatureUpdate, Finisher
from speed.writer.sink import RedisFeatureSink
from speed.writer.writing import newest_of_keys
from tests.benchmark.machine import commit, keep, machine
from tests.builders import START_MS
from tests.servers import instance_in

POLICIES: Final = Policies()
ITEMS: Final = 20_000
CATEGORIES: Final = ("crime", "comedy", "drama", "family", "history", "horror", "music", "sport", "thriller", "war")
KINDS: Final[dict[Kind, int]] = {"view": 60, "click": 20, "play": 10, "cart": 4, "rating": 3, "purchase": 2, "like": 1}
VALUES: Final[dict[Kind, float]] = {"play": 1_800.5, "rating": 4.5, "purchase": 19.99}


@dataclass(frozen=True)
class Record:
    """What kafka-python hands out, as far as the writer looks."""

    topic: str
    key: bytes
    value: bytes
    headers: tuple[()] = ()


@dataclass
class Shop:
    """Makes events of a shop whose popular items are popular: half of all acts are on a twentieth of the items."""

    random: random.Random = field(default_factory=lambda: random.Random(1))
    offset: int = 0

    def event(self, visitor: str, at_ms: int) -> InteractionEvent:
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        item = int(ITEMS * self.random.random() ** 4.3)
        chosen = random.Random(item)  # an item's categories are its own
        return InteractionEvent(
            event_id=f"{self.random.getrandbits(64):016x}",
            visitor_id=visitor,
            item_id=f"item-{item}",
            kind=kind,
            occurred_at_ms=at_ms,
            value=VALUES.get(kind),
            context=InteractionContext(categories=tuple(chosen.sample(CATEGORIES, chosen.randint(1, 3)))),
        )

    def stamp(self, at_ms: int, partition: int) -> Stamp:
        self.offset += 1
        return Stamp(at_ms, partition, self.offset)

    def visitors(self, rows: int, events: int, days: int) -> tuple[list[Record], list[Record]]:
        """Rows of visitors after so many events on so many days, a session a day, and after one event more."""
        first: list[Record] = []
        again: list[Record] = []
        for number in range(rows):
            visitor, state, at_ms = f"{number:08x}-visitor", VisitorState.load(None, POLICIES), START_MS
            for at_ms in instants(events + 1, days):
                first[number:] = [Record("visitor-states", visitor.encode(), encode_row(state.row))]
                state.observe(self.event(visitor, at_ms), self.stamp(at_ms, 0))
            again.append(Record("visitor-states", visitor.encode(), encode_row(state.row)))
        return first, again

    def items(self, rows: int, events: int, days: int) -> tuple[list[Record], list[Record]]:
        """The same of items, on which visitors of four partitions act."""
        first: list[Record] = []
        again: list[Record] = []
        for number in range(rows):
            item, state = f"item-{number}", ItemState.load(None, POLICIES)
            for at_ms in instants(events + 1, days):
                first[number:] = [Record("item-states", item.encode(), state.dump())]
                acted = to_fact(self.event(f"visitor-{self.random.randrange(10**6)}", at_ms), at_ms)
                state.add(acted, self.stamp(at_ms, self.random.randrange(4)))
            again.append(Record("item-states", item.encode(), state.dump()))
        return first, again


def instants(events: int, days: int) -> Iterator[int]:
    """Instants on successive days, a minute apart on each, from ten o'clock."""
    for number in range(events):
        day = min(number * days // (events - 1), days - 1)
        yield START_MS + day * DAY_MS + 10 * HOUR_MS + number * MINUTE_MS


class Stages:
    """The writer without Kafka, with the time of each stage."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sink = RedisFeatureSink(settings.redis, settings.feast.project)
        self._client: Any = Redis(settings.redis.host, settings.redis.port)
        self._sink.epoch()

    def close(self) -> None:
        self._sink.close()
        self._client.close()

    def measure(self, batches: Sequence[Sequence[Record]], rounds: int) -> list[dict[str, float]]:
        """CPU microseconds a row of each batch, by stage, each the least of the rounds."""
        least: list[dict[str, float]] = [{} for _ in batches]
        gc.freeze()  # as the writer does
        for _ in range(rounds):
            self._client.flushdb()
            finisher = Finisher(self._settings.feast.project, POLICIES)
            finish = {"visitor-states": finisher.visitor, "item-states": finisher.item}
            for found, batch in zip(least, batches, strict=True):
                for stage, us in self._round(batch, finish).items():
                    found[stage] = min(found.get(stage, us), us)
        return [{stage: round(us, 1) for stage, us in found.items()} for found in least]

    def _round(self, batch: Sequence[Record], finish: dict[str, Callable[..., FeatureUpdate]]) -> dict[str, float]:
        redis_before_s, times_s = self._redis_cpu_s(), [time.process_time()]
        newest = newest_of_keys(batch)
        times_s.append(time.process_time())
        updates = [finish[topic](key, one.row, one.tombstone) for (topic, key), one in newest.items()]
        times_s.append(time.process_time())
        written = self._sink.write(updates)
        times_s.append(time.process_time())
        assert all(all(outcomes) for outcomes in written.outcomes)
        read, finished, sent = ((after - before) / len(batch) * 1e6 for before, after in pairwise(times_s))
        redis_us = (self._redis_cpu_s() - redis_before_s) / len(batch) * 1e6
        stages = {"read": read, "finish": finished, "write": sent, "all": read + finished + sent, "redis": redis_us}
        return stages | {"yardstick": yardstick_us()}

    def bytes_per_key(self) -> tuple[int, str]:
        """Mean MEMORY USAGE of every entity that the last batch left, and how Redis keeps most of them."""
        keys = [key for key in self._client.scan_iter(count=1_000) if not key.startswith(b"firth:")]
        used = [self._client.memory_usage(key, samples=0) for key in keys]
        encodings = [self._client.object("encoding", key).decode() for key in keys]
        return round(fmean(used)), max(set(encodings), key=encodings.count)

    def _redis_cpu_s(self) -> float:
        found = self._client.info("cpu")
        return float(found["used_cpu_user"] + found["used_cpu_sys"])


def run(stages: Stages, rows: int, rounds: int) -> Iterator[dict[str, Any]]:
    """The figures of every kind of row."""
    shop = Shop()
    few = max(rows // 10, 1)
    for name, batches in (
        ("visitor, 10 events on 1 day", shop.visitors(rows, 10, 1)),
        ("visitor, 50 events on 3 days", shop.visitors(rows, 50, 3)),
        ("item, 20 events on 2 days", shop.items(rows, 20, 2)),
        (f"item, 300 events on 3 days ({few} rows)", shop.items(few, 300, 3)),
    ):
        first, again = stages.measure(batches, rounds)
        held, encoding = stages.bytes_per_key()
        yield {
            "row": name,
            "changelog_bytes": round(fmean(len(record.value) for record in batches[0])),
            "redis_bytes": held,
            "redis_encoding": encoding,
            "cpu_us_per_row": first,
            "cpu_us_per_row_again": again,
        }


def yardstick_us() -> float:
    """CPU time of a thousand steps of a loop that does nothing: how fast this machine is to Python just now."""
    started_s = time.process_time()
    [None for _ in range(20_000)]
    return (time.process_time() - started_s) / 20 * 1e6


@contextmanager
def redis_of(settings: Settings) -> Iterator[None]:
    """A Redis, until the block ends."""
    server = redis.start(settings)
    try:
        server.wait_ready()
        yield
    finally:
        server.stop()


def main() -> None:
    """Read the arguments, run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "commit": commit(), "rows": arguments.rows, "runs": []}
    with tempfile.TemporaryDirectory(prefix="bench-writer-") as folder:
        settings = instance_in(Path(folder))
        with redis_of(settings), closing(Stages(settings)) as stages:
            for figures in run(stages, arguments.rows, arguments.rounds):
                found["runs"].append(figures)
                keep("writer.json", found)
                print(figures)


if __name__ == "__main__":
    main()
