"""Create the topics that `schemas/topics.py` declares, and correct the settings of those that exist.

`python -m infra.processes.topics` does it once for the configured broker; doing it again changes nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from contextlib import closing
from typing import Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from infra.exits import run_command
from infra.processes.readiness import PortAnswers
from infra.settings import KafkaSettings, load_settings
from schemas.errors import ConsistencyError, DependencyError
from schemas.topics import ALL_TOPICS, DAY_MS, Topic

SEGMENT_BYTES: Final = 64 * 1024 * 1024
"""Only closed segments are compacted or deleted, so they must not be as large as the broker's default of 1 GiB."""

TOMBSTONES_KEPT_MS: Final = 30 * DAY_MS
"""A writer that was away for less sees every tombstone: longer than a row lives in the store without one."""

SETTLING_LIMIT_S: Final = 30.0


def ensure_topics(kafka: KafkaSettings, topics: Iterable[Topic] = ALL_TOPICS) -> list[str]:
    """Create what is missing and correct what differs; returns the names of the topics that were touched.

    Raises:
        DependencyError: the broker does not answer.
        ConsistencyError: a topic exists with another number of partitions.
    """
    wanted = {topic.name: topic for topic in (topic.named(kafka.topic_prefix) for topic in topics)}
    if not PortAnswers(kafka.host, kafka.port).holds(0):  # the client would try for half a minute
        raise DependencyError(f"kafka {kafka.bootstrap}", "nothing answers there", "start it: `python -m infra up`")
    try:
        with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap, client_id="firth-topics")) as admin:
            existing = {found["name"]: len(found["partitions"]) for found in admin.describe_topics()}
            for name, topic in wanted.items():
                if name in existing:
                    _refuse_other_partitions(topic, existing[name])
            missing = [topic for name, topic in wanted.items() if name not in existing]
            corrected = _correct(admin, [topic for name, topic in wanted.items() if name in existing])
            if missing:
                _create(admin, missing)
            return sorted([topic.name for topic in missing] + corrected)
    except KafkaError as error:
        raise DependencyError(f"kafka {kafka.bootstrap}", str(error), "look at `python -m infra logs kafka`") from error


def topic_settings(topic: Topic) -> dict[str, str]:
    """The broker's settings of one topic. A log is stamped on arrival: its producers' clocks decide nothing."""
    settings = {"cleanup.policy": topic.cleanup, "segment.bytes": str(SEGMENT_BYTES)}
    settings["message.timestamp.type"] = "LogAppendTime" if topic.cleanup == "delete" else "CreateTime"
    if topic.cleanup == "compact":
        settings["delete.retention.ms"] = str(TOMBSTONES_KEPT_MS)
    if topic.retention_ms is not None:
        settings["retention.ms"] = str(topic.retention_ms)
    if topic.record_bytes_max is not None:
        settings["max.message.bytes"] = str(topic.record_bytes_max)
    return settings


def _create(admin: KafkaAdminClient, topics: list[Topic]) -> None:
    admin.create_topics(
        {topic.name: {"num_partitions": topic.partitions, "configs": topic_settings(topic)} for topic in topics}
    )
    admin.wait_for_topics([topic.name for topic in topics], timeout_ms=SETTLING_LIMIT_S * 1000)


def _correct(admin: KafkaAdminClient, topics: list[Topic]) -> list[str]:
    """Alter the settings that differ from the table; returns the names of the altered topics."""
    if not topics:
        return []
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic.name) for topic in topics]
    told = admin.describe_configs(asked, config_filter="all")["topic"]
    changes = {}
    for topic in topics:
        current = {name: entry["value"] for name, entry in told[topic.name].items()}
        differing = {name: value for name, value in topic_settings(topic).items() if current.get(name) != value}
        if differing:
            changes[topic.name] = differing
    if changes:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, *change) for change in changes.items()])
    return list(changes)


def _refuse_other_partitions(topic: Topic, partitions: int) -> None:
    """Adding partitions would send a key to another one and break its order."""
    if partitions != topic.partitions:
        raise ConsistencyError(
            f"topic {topic.name} has {partitions} partitions, the table says {topic.partitions}; "
            "use another FIRTH_KAFKA__TOPIC_PREFIX and replay, or put the number back"
        )


def main() -> int:
    """Ensure the topics of the configured broker and name those that were touched."""
    started = time.monotonic()
    touched = ensure_topics(load_settings().kafka)
    print(f"topics: {', '.join(touched) or 'all as declared'} ({time.monotonic() - started:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
