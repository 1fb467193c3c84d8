"""The whole platform, brought up by the operator's command, with a catalogue and a model of the benchmark's shop."""

from __future__ import annotations

import os
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import psutil
from kafka import KafkaConsumer, TopicPartition

from infra.processes import control
from infra.processes.identity import session_members
from infra.processes.plan import SERVICES
from infra.processes.ports import choose_free_ports
from infra.processes.record import RunFolder
from infra.settings import Settings, load_settings
from schemas.events import ItemEvent, decode_interaction, encode
from schemas.topics import INTERACTIONS, VISITOR_STATES
from tests.benchmark.groups import admin, committed
from tests.benchmark.probes import Api
from tests.benchmark.row_log import percentiles, read_rows
from tests.benchmark.shop import Shop, categories_of, item_id
from tests.chaos.platform import SPEED_GROUP, Platform
from tests.published import publish
from tests.waiting import wait_until

CATALOGUE: Final = 2_000
ITEMS_PER_POST: Final = 500
MODEL_EVENTS: Final = 40_000
REST_LIMIT_S: Final = 600.0
PARITY_SAMPLE: Final = 200
PARITY_FACTS: Final = frozenset({"rows", "fields", "mismatches", "unsettled", "problem"})


@contextmanager
def whole_system() -> Iterator[WholeSystem]:
    """Everything of `python -m infra up`, in a folder and on ports of its own, until the block ends."""
    folder = Path(mkdtemp(prefix="bench-freshness-"))
    os.environ.update(choose_free_ports(random.Random()) | {"FIRTH_STATE_DIR": str(folder)})
    os.environ["FIRTH_SCHEDULE__DAILY_AT"] = "never"
    system = WholeSystem(load_settings())
    try:
        system.up()
        yield system
    finally:
        system.platform.down()
        shutil.rmtree(folder, ignore_errors=True)


class WholeSystem:
    """A running platform, and what its services use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.platform = Platform(settings, lambda line: print(line, flush=True))

    def up(self) -> None:
        """Start the services, publish the catalogue, and wait until the servers have the model."""
        publish(self.settings.artifacts_dir, "bench", sessions())
        control.up(self.settings)
        with closing(Api(self.settings)) as api:
            for start in range(0, CATALOGUE, ITEMS_PER_POST):
                items = [
                    ItemEvent(item_id=item_id(rank), title=f"Thing {rank}", categories=categories_of(rank))
                    for rank in range(start, start + ITEMS_PER_POST)
                ]
                api.post("/v1/items", b"[" + b",".join(map(encode, items)) + b"]")
            wait_until(lambda: _is_by_model(api.recommend("nobody")), 60, "a slate by the published model")

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds of each service so far."""
        return {name: sum(sum(one.cpu_times()[:2]) for one in members) for name, members in self._members()}

    def memory_mb(self) -> dict[str, int]:
        """What each service holds."""
        return {name: sum(one.memory_info().rss for one in members) // 1_000_000 for name, members in self._members()}

    def taken_in(self) -> int:
        """How many events the newest checkpoint of the job includes."""
        with admin(self.settings) as client:
            return committed(client, f"{self.settings.kafka.topic_prefix}{SPEED_GROUP}")

    def behind(self) -> int:
        """How many events of the log the newest checkpoint does not include."""
        topic = INTERACTIONS.named(self.settings.kafka.topic_prefix).name
        with closing(KafkaConsumer(bootstrap_servers=self.settings.kafka.bootstrap)) as consumer:
            ends = consumer.end_offsets([TopicPartition(topic, number) for number in range(INTERACTIONS.partitions)])
        return int(sum(ends.values())) - self.taken_in()

    def row_ages(self, from_ms: float, to_ms: float) -> dict[str, float]:
        """How long after Kafka had an event the job wrote its visitor's row: the part of a probe's time that is its."""
        topic = VISITOR_STATES.named(self.settings.kafka.topic_prefix).name
        rows = read_rows(self.settings.kafka.bootstrap, topic, ())
        return percentiles([row.age_ms for row in rows.between(from_ms, to_ms)])

    def rest(self) -> None:
        """Until the stream, the writer and the archiver have taken in all there is."""
        wait_until(lambda: not self.platform.backlog(), REST_LIMIT_S, "everything to be taken in")
        time.sleep(1.0)

    def parity(self) -> dict[str, Any]:
        """What `python -m batch parity` finds when all is at rest."""
        _, found = self.platform.run("batch", "parity", "--sample", str(PARITY_SAMPLE), "--at-rest")
        return {name: value for name, value in found.items() if name in PARITY_FACTS}

    def archived(self) -> int:
        """Interactions in the lake."""
        _, found = self.platform.run("batch", "lake", "status")
        return int(found["interactions"]["rows"])

    def _members(self) -> Iterator[tuple[str, list[psutil.Process]]]:
        folder = RunFolder(self.settings.run_dir)
        for service in SERVICES:
            record = folder.service(service.name)
            if record is not None and record.identity is not None:
                with suppress(psutil.NoSuchProcess):
                    yield service.name, list(session_members(record.identity))


def sessions() -> list[list[str]]:
    """What visitors of the shop did, of the catalogue's items, for the model to learn from."""
    by_visitor: dict[int, list[str]] = {}
    for sent in Shop(5_000, seed=2).backlog(MODEL_EVENTS, time.time_ns() // 1_000_000):
        if sent.item < CATALOGUE:
            by_visitor.setdefault(sent.visitor, []).append(decode_interaction(sent.raw).item_id)
    return [items for items in by_visitor.values() if len(items) > 1]


def _is_by_model(slate: dict[str, Any]) -> bool:
    return slate["model_version"] == "bench" and bool(slate["items"])
