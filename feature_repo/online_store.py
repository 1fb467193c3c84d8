"""One Feast online store over two: a view lives where its tag says; speed-owned views refuse writes through Feast."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from cassandra import DriverException, InvalidRequest
from cassandra.cluster import NoHostAvailable
from feast import Entity, FeatureView, RepoConfig
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.infra.online_stores.online_store import OnlineStore
from feast.repo_config import FeastConfigBaseModel
from pydantic import StrictStr
from redis.exceptions import RedisError

from feature_repo.foreign_warnings import ignore_foreign_warnings
from schemas.errors import ConfigurationError, ConsistencyError, DependencyError

STORE_TAG: Final = "store"
OWNER_TAG: Final = "owner"
SPEED: Final = "speed"

ignore_foreign_warnings()  # every command of the stock CLI imports this module, because feature_store.yaml names it

_UNREACHABLE: Final = (RedisError, NoHostAvailable, DriverException, OSError)


class RoutedOnlineStoreConfig(FeastConfigBaseModel):
    """`stores` maps the values of the tag `store` to the configurations of the stores behind them."""

    type: StrictStr = "feature_repo.online_store.RoutedOnlineStore"
    stores: dict[str, dict[str, Any]]


class SpeedOwnedView(ConsistencyError):
    """Somebody but the feature writer wanted to write a view of the speed layer."""

    def __init__(self, view: str) -> None:
        self.view = view
        super().__init__(
            f"view {view} belongs to the speed layer and only the feature writer writes it: Feast compares and writes "
            "in two steps, and would lose newer rows. Send interactions to change it; to load the batch views, name "
            "them: feast materialize START END --views visitor_history --views item_profile"
        )


@dataclass(frozen=True, slots=True)
class _Backend:
    """One store behind the tag, with a configuration of its own."""

    name: str
    address: str
    store: OnlineStore
    config: RepoConfig

    @contextmanager
    def reached(self) -> Iterator[None]:
        """Name the server in errors of its driver."""
        try:
            yield
        except InvalidRequest as error:
            raise ConfigurationError(
                f"{self.name} {self.address}", _brief(error), "register the views: python -m feature_repo apply"
            ) from error
        except _UNREACHABLE as error:
            remedy = f"is it up (`python -m infra status`), and is FIRTH_{self.name.upper()}__PORT the right one?"
            raise DependencyError(f"{self.name} {self.address}", _brief(error), remedy) from error


class RoutedOnlineStore(OnlineStore):
    """Sends every view to the store that its tag names."""

    def __init__(self) -> None:
        self._backends: dict[str, _Backend] = {}

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: Sequence[Any], progress: Callable[[int], Any] | None
    ) -> None:
        if not data:
            return
        if table.tags.get(OWNER_TAG) == SPEED:
            raise SpeedOwnedView(table.name)
        backend = self._backend_of(config, table)
        with backend.reached():
            backend.store.online_write_batch(backend.config, table, list(data), progress)

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[Any],
        requested_features: list[str] | None = None,
    ) -> list[Any]:
        backend = self._backend_of(config, table)
        with backend.reached():
            return backend.store.online_read(backend.config, table, entity_keys, requested_features)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        deleted, kept = self._by_backend(config, tables_to_delete), self._by_backend(config, tables_to_keep)
        for name in {**deleted, **kept}:
            backend = self._backends[name]
            with backend.reached():
                backend.store.update(
                    backend.config,
                    deleted.get(name, []),
                    kept.get(name, []),
                    entities_to_delete,
                    entities_to_keep,
                    partial,
                )

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        for name, group in self._by_backend(config, tables).items():
            backend = self._backends[name]
            with backend.reached():
                backend.store.teardown(backend.config, group, entities)

    async def close(self) -> None:
        """Close every backend's connections."""
        self.disconnect()

    def disconnect(self) -> None:
        """Close every backend's connections; the next call opens them again."""
        for backend in self._backends.values():
            disconnect = getattr(backend.store, "disconnect", None)
            if disconnect:
                disconnect()
            client = getattr(backend.store, "_client", None)
            if client:
                client.close()
        self._backends.clear()

    def _by_backend(self, config: RepoConfig, tables: Sequence[FeatureView]) -> dict[str, list[FeatureView]]:
        groups: dict[str, list[FeatureView]] = {}
        for table in tables:
            groups.setdefault(self._backend_of(config, table).name, []).append(table)
        return groups

    def _backend_of(self, config: RepoConfig, table: FeatureView) -> _Backend:
        name = table.tags.get(STORE_TAG, "")
        if name not in self._backends:
            self._backends[name] = _build(config, name, table.name)
        return self._backends[name]


def _build(config: RepoConfig, name: str, view: str) -> _Backend:
    """The backend of one tag value, with its own `RepoConfig`: the caller's stays as it is."""
    stores = config.online_store.stores
    if name not in stores:
        raise ConfigurationError(
            f"feature view {view}, tag {STORE_TAG}",
            f"is {name!r}, which is none of {sorted(stores)}",
            "set the tag, or add the store to feature_store.yaml",
        )
    own = RepoConfig(
        project=config.project,
        registry=config.registry_config,
        provider=config.provider,
        offline_store=config.offline_config,
        online_store=dict(stores[name]),
        entity_key_serialization_version=config.entity_key_serialization_version,
        repo_path=config.repo_path,
    )
    return _Backend(name, _address_of(stores[name]), get_online_store_from_config(own.online_store), own)


def _address_of(store: dict[str, Any]) -> str:
    if "connection_string" in store:
        return str(store["connection_string"]).split(",")[0]
    return ",".join(f"{host}:{store.get('port', 9042)}" for host in store.get("hosts", []))


def _brief(error: Exception) -> str:
    """One line. Cassandra's driver says in a dictionary of hosts why each could not be reached."""
    if isinstance(error, NoHostAvailable):
        causes = {type(cause).__name__ for cause in dict(error.errors).values()}
        return f"no host answers ({', '.join(sorted(causes))})"
    return (str(error) or type(error).__name__).splitlines()[0][:200]
