"""The servers themselves: they start, serve, keep what they were given, and end without a trace."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from cassandra.cluster import Cluster
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from infra.processes import kafka as kafka_server
from infra.processes import redis as redis_process
from infra.processes.identity import session_members
from infra.processes.launch import Child, launch
from infra.processes.topics import ensure_topics
from infra.settings import CassandraSettings, KafkaSettings, Settings
from schemas.errors import ConfigurationError, ConsistencyError, DependencyError
from schemas.topics import ALL_TOPICS, INTERACTIONS, VISITOR_STATES
from tests.integration.toy_services import shell_command
from tests.servers import instance_in
from tests.waiting import wait_until

LONG_AGO_MS = 1_000_000_000_000


@contextmanager
def running(server: Child) -> Iterator[Child]:
    """The server, ready; stopped at the end whatever happens."""
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def send(settings: KafkaSettings, topic: str, value: bytes, *, partition: int = 0, at_ms: int | None = None) -> None:
    with closing(KafkaProducer(bootstrap_servers=settings.bootstrap)) as producer:
        producer.send(topic, value, key=b"ada", partition=partition, timestamp_ms=at_ms).get(timeout=30)


def first_record(settings: KafkaSettings, topic: str, *, partition: int = 0) -> Any:
    with closing(KafkaConsumer(bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest")) as consumer:
        consumer.assign([TopicPartition(topic, partition)])
        return next(iter(next(iter(consumer.poll(timeout_ms=30_000).values()))))


def test_redis_keeps_its_data_through_a_stop_and_through_a_kill(tmp_path: Path) -> None:
    settings = instance_in(tmp_path)
    client = redis.Redis(host=settings.redis.host, port=settings.redis.port)
    with closing(client):
        with running(redis_process.start(settings)):
            client.set("kept", "1")
        with running(redis_process.start(settings)) as server:
            client.incr("kept")
            os.kill(server.pid, signal.SIGKILL)
        with running(redis_process.start(settings)):
            assert client.get("kept") == b"2"


def test_kafka_keeps_its_records_through_a_kill(tmp_path: Path) -> None:
    settings = instance_in(tmp_path)
    with running(kafka_server.start(settings)) as server:
        ensure_topics(settings.kafka)
        send(settings.kafka, "interactions", b"kept")
        os.kill(server.pid, signal.SIGKILL)
    with running(kafka_server.start(settings)):
        assert ensure_topics(settings.kafka) == []
        assert first_record(settings.kafka, "interactions").value == b"kept"


def test_every_server_listens_on_the_loopback_interface_only(
    kafka: KafkaSettings, redis_server: object, cassandra: CassandraSettings, instance: Settings
) -> None:
    ours = {kafka.port, kafka.controller_port, cassandra.port, cassandra.storage_port, instance.redis.port}
    connections = psutil.net_connections("tcp")
    listening = [tuple(found.laddr) for found in connections if found.status == psutil.CONN_LISTEN]
    assert sorted(address for address in listening if address[1] in ours) == [
        ("127.0.0.1", port) for port in sorted(ours)
    ]


def test_a_log_is_stamped_on_arrival_whatever_its_producer_says(topics: list[str], settings: Settings) -> None:
    topic = INTERACTIONS.named(settings.kafka.topic_prefix).name
    before_ms = time.time_ns() // 1_000_000
    send(settings.kafka, topic, b"old", at_ms=LONG_AGO_MS)
    assert first_record(settings.kafka, topic).timestamp >= before_ms


def test_a_changelog_keeps_the_time_of_its_writer(topics: list[str], settings: Settings) -> None:
    topic = VISITOR_STATES.named(settings.kafka.topic_prefix).name
    send(settings.kafka, topic, b"state", at_ms=LONG_AGO_MS)
    assert first_record(settings.kafka, topic).timestamp == LONG_AGO_MS


def test_creating_the_topics_again_changes_nothing(topics: list[str], settings: Settings) -> None:
    assert len(topics) == len(ALL_TOPICS)
    assert ensure_topics(settings.kafka) == []


def test_a_setting_that_somebody_changed_is_put_back(topics: list[str], settings: Settings) -> None:
    name = INTERACTIONS.named(settings.kafka.topic_prefix).name
    with closing(KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"retention.ms": "1000"})])
    wait_until(lambda: ensure_topics(settings.kafka) == [name], 30, "the change to be seen and put back")
    wait_until(lambda: ensure_topics(settings.kafka) == [], 30, "nothing to be left to do")


def test_another_number_of_partitions_is_refused(kafka: KafkaSettings, settings: Settings) -> None:
    name = INTERACTIONS.named(settings.kafka.topic_prefix).name
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.create_topics({name: {"num_partitions": 2}}, wait_for_metadata=True)
    with pytest.raises(ConsistencyError, match="has 2 partitions, the table says 4"):
        ensure_topics(settings.kafka)


def test_a_mistyped_topic_is_not_created(kafka: KafkaSettings) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, max_block_ms=2_000)
    with closing(producer), pytest.raises(KafkaError):
        producer.send("interactoins", b"lost").get(timeout=10)
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        assert "interactoins" not in admin.list_topics()


def test_a_broker_that_is_away_is_a_dependency_error(settings: Settings) -> None:
    away = settings.kafka.model_copy(update={"port": settings.serving.port})
    with pytest.raises(DependencyError, match="kafka 127"):
        ensure_topics(away)


def test_cassandra_answers_what_was_written(cassandra: CassandraSettings, settings: Settings) -> None:
    with Cluster([cassandra.host], port=cassandra.port) as cluster:
        session = cluster.connect()
        replication = "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        session.execute(f"CREATE KEYSPACE {settings.cassandra.keyspace} WITH replication = {replication}")
        session.set_keyspace(settings.cassandra.keyspace)
        session.execute("CREATE TABLE rows (key text PRIMARY KEY, value blob)")
        session.execute("INSERT INTO rows (key, value) VALUES (%s, %s)", ("ada", b"1"))
        assert session.execute("SELECT value FROM rows WHERE key = 'ada'").one().value == b"1"


def test_a_taken_port_names_the_variable_to_change(tmp_path: Path) -> None:
    settings = instance_in(tmp_path)
    address = (settings.redis.host, settings.redis.port)
    with closing(socket.create_server(address)), pytest.raises(ConfigurationError, match="is in use") as caught:
        redis_process.start(settings)
    assert caught.value.setting == "FIRTH_REDIS__PORT"


def test_a_server_that_dies_early_shows_its_last_words(tmp_path: Path) -> None:
    server = launch(shell_command(tmp_path, "echo 'the disk is full'; exit 3"))
    started = time.monotonic()
    with pytest.raises(DependencyError, match=r"(?s)exit code 3 before it was ready.*the disk is full"):
        server.wait_ready()
    assert time.monotonic() - started < 30


def test_a_server_that_never_gets_ready_is_stopped(tmp_path: Path) -> None:
    server = launch(shell_command(tmp_path, "sleep 600"))
    with pytest.raises(DependencyError, match="was not ready within 1 s"):
        server.wait_ready(limit_s=1)
    assert not list(session_members(server.identity))


def test_stopping_ends_what_the_server_had_started(tmp_path: Path) -> None:
    server = launch(shell_command(tmp_path, "sleep 600 & sleep 600 & touch ready; wait"))
    server.wait_ready()
    assert len(list(session_members(server.identity))) == 3
    server.stop()
    assert not list(session_members(server.identity))


def test_a_server_that_ignores_the_request_to_stop_is_killed(tmp_path: Path) -> None:
    server = launch(shell_command(tmp_path, "trap '' TERM; touch ready; while true; do sleep 1; done", grace_s=0.5))
    server.wait_ready()
    assert not server.stop()
    assert not list(session_members(server.identity))
