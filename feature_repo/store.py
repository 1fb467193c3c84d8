"""Open Feast's store for given settings, and register the catalogue in it."""

from __future__ import annotations

import asyncio
import warnings
from pathlib import Path
from typing import Any, Protocol

from feast import FeatureStore, RepoConfig

from feature_repo.definitions import define
from feature_repo.foreign_warnings import ignore_foreign_warnings
from feature_repo.offline import leave_speed_files_empty

REPOSITORY = Path(__file__).resolve().parent


class Server(Protocol):
    """Where a server listens."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...


class Ring(Server, Protocol):
    """A Cassandra ring, and our keyspace on it."""

    @property
    def keyspace(self) -> str: ...

    @property
    def local_datacentre(self) -> str: ...


class Registration(Protocol):
    """How Feast knows us."""

    @property
    def project(self) -> str: ...


class StoreSettings(Protocol):
    """What a feature store needs to know; `infra.settings.Settings` has it."""

    @property
    def feast(self) -> Registration: ...

    @property
    def redis(self) -> Server: ...

    @property
    def cassandra(self) -> Ring: ...

    @property
    def registry_path(self) -> Path: ...

    @property
    def offline_dir(self) -> Path: ...


def configuration(settings: StoreSettings) -> dict[str, Any]:
    """The content of `feature_store.yaml` for these settings."""
    redis, cassandra = settings.redis, settings.cassandra
    return {
        "project": settings.feast.project,
        "provider": "local",
        "registry": {
            "registry_type": "file",
            "registry_store_type": "feature_repo.registry_store.AtomicFileRegistryStore",
            "path": str(settings.registry_path),
        },
        "entity_key_serialization_version": 3,
        "offline_store": {"type": "duckdb"},
        "online_store": {
            "type": "feature_repo.online_store.RoutedOnlineStore",
            "stores": {
                "redis": {
                    "type": "redis",
                    "connection_string": f"{redis.host}:{redis.port},socket_connect_timeout=5,socket_timeout=10",
                },
                "cassandra": {
                    "type": "feature_repo.cassandra_store.CassandraRowOnlineStore",
                    "hosts": [cassandra.host],
                    "port": cassandra.port,
                    "keyspace": cassandra.keyspace,
                    "protocol_version": 5,
                    "load_balancing": {
                        "load_balancing_policy": "TokenAwarePolicy(DCAwareRoundRobinPolicy)",
                        "local_dc": cassandra.local_datacentre,
                    },
                },
            },
        },
    }


def open_store(settings: StoreSettings) -> FeatureStore:
    """Feast's store for these settings. Nothing is connected until it is used."""
    return FeatureStore(config=RepoConfig(**configuration(settings), repo_path=REPOSITORY))


def register(settings: StoreSettings) -> FeatureStore:
    """Register the catalogue, create keyspace and tables, as `feast apply` does. Doing it again changes nothing."""
    store = open_store(settings)
    settings.registry_path.parent.mkdir(parents=True, exist_ok=True)
    leave_speed_files_empty(settings.offline_dir)
    with warnings.catch_warnings():
        ignore_foreign_warnings()
        store.apply(list(define(settings.offline_dir.resolve())))
    return store


def close_store(store: FeatureStore) -> None:
    """Close the store's connections."""
    asyncio.run(store.close())
