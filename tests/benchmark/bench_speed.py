"""How fast is the speed layer, with everything on this machine?

    python -m tests.benchmark.bench_speed [--events 60000] [--seconds 20] [--rates 50 1000]

Starts its own Kafka, Redis, Flink job and writer. Measures how fast the job catches up with a backlog (events/s between
20 and 90 % of it, and the CPU of its processes per event), how fast the writer does, and from a click's production
until its row can be read in Redis, under a steady load. Writes the numbers to bench/results/speed.json too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final

import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from redis import Redis

from feature_repo.layout import EntityKeys
from feature_repo.views import VISITOR_SESSION
from infra.processes import kafka, programs, redis
from infra.processes.identity import session_members
from infra.processes.launch import Child, launch
from infra.processes.topics import ensure_topics
from infra.settings import Settings
from schemas.events import InteractionContext, encode
from schemas.topics import INTERACTIONS, ITEM_STATES, VISITOR_STATES, Topic
from speed.writer.__main__ import connect
from tests.builders import interaction
from tests.servers import instance_in

RESULTS: Final = Path("bench/results/speed.json")
VISITORS, ITEMS = 5_000, 2_000
LIMIT_S = 600.0
PROBE_LIMIT_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rates", type=float, nargs="*", default=[50.0, 1_000.0])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-speed-") as folder, ExitStack() as running:
        settings = instance_in(Path(folder))
        for server in (kafka.start(settings), redis.start(settings)):
            running.callback(server.stop)
            server.wait_ready()
        ensure_topics(settings.kafka)
        produce(settings, arguments.events)
        found: dict[str, Any] = {**machine(), "events": arguments.events}
        job = running.enter_context(started(launch(programs.speed(settings))))
        found["job"] = catch_up(job, lambda: taken(settings), arguments.events)
        with closing(KafkaConsumer(bootstrap_servers=settings.kafka.bootstrap)) as consumer:
            found["job"]["rows_per_event"] = round(end(consumer, VISITOR_STATES, ITEM_STATES) / arguments.events, 2)
        writer = running.enter_context(started(launch_writer(settings)))
        found["writer"] = writer_catch_up(writer, settings)
        found["click_to_redis_ms"] = [latency(settings, rate, arguments.seconds) for rate in arguments.rates]
        found["rss_mb"] = {child.command.name: rss_mb(child) for child in (job, writer)}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n")
    print(json.dumps(found, indent=2))


@contextmanager
def started(child: Child) -> Iterator[Child]:
    try:
        yield child
    finally:
        child.stop()


def launch_writer(settings: Settings) -> Child:
    """The writer, told in its environment what these settings say."""
    os.environ |= {
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        "FIRTH_REDIS__PORT": str(settings.redis.port),
    }
    return launch(programs.writer(settings))


def partitions(topic: Topic) -> list[TopicPartition]:
    return [TopicPartition(topic.name, number) for number in range(topic.partitions)]


def end(consumer: KafkaConsumer, *topics: Topic) -> int:
    """How many records the topics have."""
    return sum(consumer.end_offsets([one for topic in topics for one in partitions(topic)]).values())


def click(generator: random.Random, number: int, *, visitor: str = "") -> tuple[bytes, bytes]:
    event = interaction(
        f"{generator.getrandbits(64):x}-{number}",
        visitor=visitor or f"visitor-{generator.randrange(VISITORS)}",
        item=f"item-{int(generator.paretovariate(1.0)) % ITEMS}",
        kind="click",
        at_ms=int(time.time() * 1000),
        context=InteractionContext(categories=("drama", "crime")),
    )
    return event.visitor_id.encode(), encode(event)


def produce(settings: Settings, events: int) -> None:
    """A backlog with 5 % duplicates."""
    generator = random.Random(1)
    sent: list[tuple[bytes, bytes]] = []
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20)) as producer:
        for number in range(events):
            repeat = sent and generator.random() < 0.05
            sent.append(generator.choice(sent[-100:]) if repeat else click(generator, number))
            producer.send(INTERACTIONS.name, key=sent[-1][0], value=sent[-1][1])
        producer.flush()


def taken(settings: Settings) -> int:
    """How many events the job has taken in, by Flink's own count; 0 while it starts. Rows tell less: they coalesce."""
    try:
        (job,) = [one["id"] for one in rest(settings, "/jobs")["jobs"]]
        (visitor,) = [one["id"] for one in rest(settings, f"/jobs/{job}")["vertices"] if "visitor" in one["name"]]
        path = f"/jobs/{job}/vertices/{visitor}/subtasks/metrics?get=numRecordsIn&agg=sum"
        return sum(int(metric["sum"]) for metric in rest(settings, path))
    except (OSError, ValueError):
        return 0


def rest(settings: Settings, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{settings.flink.rest_port}{path}", timeout=10) as answer:
        return json.load(answer)


def catch_up(job: Child, rows: Callable[[], int], events: int) -> dict[str, float]:
    """Events a second, wall, between 20 and 90 % of the backlog, and the CPU that they took.

    Flink's counts are up to a second old, so a backlog should take several seconds.
    """
    before = time.monotonic()
    reached: dict[float, tuple[float, float, int]] = {}
    while 0.9 not in reached:
        count = rows()
        assert time.monotonic() - before < LIMIT_S, f"only {count} rows after {LIMIT_S} s"
        for share in (0.0, 0.2, 0.9):
            if share not in reached and count > share * events:
                reached[share] = (time.monotonic(), cpu_s(job), count)
        time.sleep(0.2)
    (from_s, from_cpu_s, first), (to_s, to_cpu_s, last) = reached[0.2], reached[0.9]
    return {
        "first_row_after_s": round(reached[0.0][0] - before, 1),
        "events_per_s": round((last - first) / (to_s - from_s)),
        "cpu_us_per_event": round((to_cpu_s - from_cpu_s) / (last - first) * 1e6, 1),
    }


def writer_catch_up(writer: Child, settings: Settings) -> dict[str, float]:
    """Until the writer has committed every row; rows of a key within a batch are one write."""
    before = time.monotonic()
    with closing(connect(settings.kafka)) as consumer:
        while committed(consumer) < end(consumer, VISITOR_STATES, ITEM_STATES):
            assert time.monotonic() - before < LIMIT_S, f"only {committed(consumer)} rows after {LIMIT_S} s"
            time.sleep(0.2)
        rows = committed(consumer)
    took_s = time.monotonic() - before
    return {"rows": rows, "rows_per_s": round(rows / took_s), "cpu_us_per_row": round(cpu_s(writer) / rows * 1e6, 1)}


def committed(consumer: KafkaConsumer) -> int:
    return sum(consumer.committed(one) or 0 for topic in (VISITOR_STATES, ITEM_STATES) for one in partitions(topic))


def latency(settings: Settings, rate: float, seconds: float) -> dict[str, float]:
    """Probe clicks of new visitors, one after another, while a thread sends `rate` clicks a second."""
    end_s = time.monotonic() + seconds
    load = threading.Thread(target=send_steadily, args=(settings, rate, end_s), daemon=True)
    load.start()
    keys = EntityKeys(settings.feast.project, VISITOR_SESSION.join_key)
    took_ms: list[float] = []
    with (
        closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=0)) as producer,
        closing(Redis(port=settings.redis.port)) as client,
    ):
        while time.monotonic() < end_s:
            key, value = click(random.Random(), 0, visitor=f"probe-{rate}-{len(took_ms)}")
            sent_s = time.monotonic()
            producer.send(INTERACTIONS.name, key=key, value=value)
            until(lambda: client.exists(keys.key(key.decode())), sent_s + PROBE_LIMIT_S)  # noqa: B023
            took_ms.append((time.monotonic() - sent_s) * 1_000)
            time.sleep(0.03)
    load.join()
    took_ms.sort()
    return {
        "rate_per_s": rate,
        "n": len(took_ms),
        "p50": round(took_ms[len(took_ms) // 2], 1),
        "p99": round(took_ms[int(len(took_ms) * 0.99)], 1),
    }


def send_steadily(settings: Settings, rate: float, end_s: float) -> None:
    generator, started_s, sent = random.Random(2), time.monotonic(), 0
    with closing(KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=0)) as producer:
        while time.monotonic() < end_s:
            while sent < (time.monotonic() - started_s) * rate:
                key, value = click(generator, sent)
                producer.send(INTERACTIONS.name, key=key, value=value)
                sent += 1
            time.sleep(0.002)


def until(holds: Callable[[], Any], end_s: float) -> None:
    while not holds():
        assert time.monotonic() < end_s, "a probe never arrived"
        time.sleep(0.0005)


def cpu_s(child: Child) -> float:
    """CPU seconds of the process and of all that it started."""
    return sum(sum(process.cpu_times()[:2]) for process in session_members(child.identity))


def rss_mb(child: Child) -> int:
    return sum(process.memory_info().rss for process in session_members(child.identity)) // 1_000_000


def machine() -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "load": round(psutil.getloadavg()[0], 1),
        "python": platform.python_version(),
        "platform": sys.platform,
    }


if __name__ == "__main__":
    main()
