"""`python -m speed.writer`: keep the online store as new as the changelogs, until told to stop."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from contextlib import closing
from threading import Event

from kafka import KafkaConsumer

from infra import logs, metrics
from infra.exits import run_command
from infra.processes.readiness import heartbeat_path
from infra.settings import KafkaSettings, load_settings
from schemas.topics import ITEM_STATES, VISITOR_STATES
from speed.writer.finishing import Finisher
from speed.writer.sink import RedisFeatureSink
from speed.writer.writing import FeatureWriter

GROUP = "firth-writer"


def main() -> int:
    """0 after a stop; see `infra.exits` for the rest."""
    argparse.ArgumentParser(prog="python -m speed.writer", description=__doc__).parse_args()
    logs.configure("writer")
    settings = load_settings()
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    metrics.export("writer", settings.metrics.writer_port, settings.metrics.host)
    prefix = settings.kafka.topic_prefix
    finisher = Finisher(settings.feast.project, settings.policies)
    finish = {VISITOR_STATES.named(prefix).name: finisher.visitor, ITEM_STATES.named(prefix).name: finisher.item}
    with (
        closing(RedisFeatureSink(settings.redis, settings.feast.project)) as sink,
        closing(connect(settings.kafka)) as consumer,
    ):
        gc.freeze()  # what is here now stays: without it, a quarter of the time is spent on walking through it
        FeatureWriter(consumer, sink, finish).run(stopped, heartbeat_path(settings.run_dir, "writer"))
    return 0


def connect(settings: KafkaSettings) -> KafkaConsumer:
    """A member of the writers' group. It commits by hand, and waits for no more bytes than there are.

    A row of a partition that was just read is not part of the request that the broker holds meanwhile: it waits for
    the end of that one, so the wait is short (20 ms instead of 100: a click is 15 ms sooner in its slate).
    """
    return KafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        group_id=f"{settings.topic_prefix}{GROUP}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
        session_timeout_ms=10_000,
        metadata_max_age_ms=30_000,
    )


if __name__ == "__main__":
    sys.exit(run_command(main))
