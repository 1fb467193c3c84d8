"""Real servers for tests, as a pytest plugin: one of each kind a pytest session, started when a test first asks.

They end by a kill, as nobody needs what they would put in order: a stop takes Cassandra and Kafka seconds.

A test asks for the servers that it needs (`kafka`, `redis_server`, `cassandra`) and for `settings`, which point at
them and isolate it: a topic prefix, a keyspace, a Feast project, free ports and a state folder of its own.
Only pytest is imported on top, because the unit tests also run where `infra` is not importable.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from infra.settings import CassandraSettings, KafkaSettings, RedisSettings, Settings


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of the session's servers. Nothing is started by asking for them."""
    return instance_in(tmp_path_factory.mktemp("instance"))


@pytest.fixture(scope="session")
def kafka(instance: Settings) -> Iterator[KafkaSettings]:
    """A running broker without topics; see `topics`."""
    from infra.processes.kafka import start

    server = start(instance)
    try:
        server.wait_ready()
        yield instance.kafka
    finally:
        server.kill()


@pytest.fixture(scope="session")
def redis_server(instance: Settings) -> Iterator[RedisSettings]:
    """A running Redis."""
    from infra.processes.redis import start

    server = start(instance)
    try:
        server.wait_ready()
        yield instance.redis
    finally:
        server.kill()


@pytest.fixture(scope="session")
def cassandra(instance: Settings) -> Iterator[CassandraSettings]:
    """A running Cassandra without keyspaces."""
    from infra.processes.cassandra import start

    server = start(instance)
    try:
        server.wait_ready()
        yield instance.cassandra
    finally:
        server.kill()


@pytest.fixture
def settings(instance: Settings, tmp_path: Path) -> Settings:
    """Settings of one test on the session's servers."""
    return isolated(instance, tmp_path)


@pytest.fixture(scope="module")
def module_settings(instance: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings that all tests of a module share."""
    return isolated(instance, tmp_path_factory.mktemp("module"))


@pytest.fixture
def topics(kafka: KafkaSettings, settings: Settings) -> list[str]:
    """The names of this test's topics, created."""
    from infra.processes.topics import ensure_topics

    return ensure_topics(settings.kafka)


def instance_in(state_dir: Path) -> Settings:
    """Settings of an instance of its own: free ports and this state folder."""
    from infra.processes.ports import choose_free_ports
    from infra.settings import load_settings

    return load_settings(state_dir=state_dir, **_nested(choose_free_ports(random.Random())))


def isolated(instance: Settings, state_dir: Path) -> Settings:
    """Settings on the servers of `instance` that share nothing else with other tests."""
    own, name = instance_in(state_dir), f"t{secrets.token_hex(4)}"
    return own.model_copy(
        update={
            "kafka": instance.kafka.model_copy(update={"topic_prefix": f"{name}-"}),
            "redis": instance.redis,
            "cassandra": instance.cassandra.model_copy(update={"keyspace": name}),
            "feast": own.feast.model_copy(update={"project": name}),
        }
    )


def _nested(variables: dict[str, str]) -> dict[str, dict[str, Any]]:
    """`{"FIRTH_KAFKA__PORT": "1"}` as `{"kafka": {"port": 1}}`."""
    tree: dict[str, dict[str, Any]] = {}
    for variable, value in variables.items():
        branch, leaf = variable.removeprefix("FIRTH_").lower().split("__")
        tree.setdefault(branch, {})[leaf] = int(value)
    return tree
