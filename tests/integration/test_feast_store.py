"""Feast over the real Redis and Cassandra: the stock SDK reads what each layer wrote, and nobody else may write."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cassandra.cluster import Cluster
from feast import FeatureStore

from domain.context import context_cells
from domain.merge import merge_cells, session_cells
from domain.reference import merged_values
from feature_repo.layout import EntityKeys
from feature_repo.layout.keys import table_name
from feature_repo.offline import TIMESTAMP_COLUMN, arrow_schema, offline_path
from feature_repo.store import close_store, configuration, open_store, register
from feature_repo.views import (
    ITEM_PROFILE,
    ITEM_STATS,
    ITEM_TREND,
    VISITOR_HISTORY,
    VISITOR_PROFILE,
    VISITOR_RECENT,
    VISITOR_SESSION,
    View,
)
from infra.settings import CassandraSettings, RedisSettings, Settings
from schemas.errors import ConfigurationError, DependencyError
from tests.builders import fact
from tests.integration.feast_rows import (
    CUTOFF,
    materialize,
    read,
    read_view,
    write_as_the_writer,
    write_parquet,
)
from tests.rows import POLICIES, day_events, history_cells, item_row, recent_cells, visitor_row
from tests.servers import instance_in


@pytest.fixture(scope="module")
def store(
    module_settings: Settings, redis_server: RedisSettings, cassandra: CassandraSettings
) -> Iterator[FeatureStore]:
    """A registered feature store that the tests of this module share; each uses entities of its own."""
    store = register(module_settings)
    yield store
    close_store(store)


def test_the_sdk_reads_what_the_feature_writer_wrote(store: FeatureStore, module_settings: Settings) -> None:
    row = visitor_row(days=(1, 2, 3), each=6)
    session = session_cells(row, POLICIES)
    assert session is not None
    write_as_the_writer(module_settings, VISITOR_SESSION, "ada", session)
    write_as_the_writer(module_settings, VISITOR_RECENT, "ada", recent_cells("visitor", row))
    assert read_view(store, VISITOR_SESSION, "ada") == session
    assert read_view(store, VISITOR_RECENT, "ada") == recent_cells("visitor", row)


def test_materialised_parquet_is_read_by_the_sdk_and_by_the_layout(
    store: FeatureStore, module_settings: Settings
) -> None:
    rows = {f"item-{days}": history_cells("item", days=range(days), each=6) for days in (1, 2, 3)}
    write_parquet(module_settings, ITEM_PROFILE, rows)
    materialize(store, [ITEM_PROFILE.name])
    for key, cells in rows.items():
        assert read_view(store, ITEM_PROFILE, key) == cells
        assert ITEM_PROFILE.layout().decode_blob(stored_blob(module_settings, ITEM_PROFILE, key)) == cells


def stored_blob(settings: Settings, view: View, key: str) -> bytes:
    """The cells of Cassandra's row."""
    cluster = Cluster([settings.cassandra.host], port=settings.cassandra.port, protocol_version=5)
    try:
        session = cluster.connect(settings.cassandra.keyspace)
        partition = EntityKeys(settings.feast.project, view.join_key).partition(key)
        table = table_name(settings.feast.project, view.name)
        found: bytes = session.execute(f"SELECT cells FROM {table} WHERE entity_key = %s", (partition,)).one().cells
        return found
    finally:
        cluster.shutdown()


def test_a_later_batch_replaces_the_row_of_an_earlier_one(store: FeatureStore, module_settings: Settings) -> None:
    for days in (1, 2):
        cells = history_cells("visitor", days=range(days))
        write_parquet(module_settings, VISITOR_HISTORY, {"grace": cells}, at=CUTOFF + timedelta(hours=days))
        materialize(store, [VISITOR_HISTORY.name])
        assert read_view(store, VISITOR_HISTORY, "grace") == cells


@pytest.mark.parametrize("covered", [0, 2, 4], ids=lambda days: f"batch_covers_{days}_days")
def test_the_merged_view_equals_the_rule_and_the_naive_reference(
    store: FeatureStore, module_settings: Settings, covered: int
) -> None:
    key, recent = f"merged-{covered}", recent_cells("visitor", visitor_row(days=range(4)))
    history = history_cells("visitor", days=range(covered)) if covered else None
    write_as_the_writer(module_settings, VISITOR_RECENT, key, recent)
    if history:
        write_parquet(module_settings, VISITOR_HISTORY, {key: history})
        materialize(store, [VISITOR_HISTORY.name])
    answer = read(store, "session_v1", "visitor", key)
    profile = {name: answer[name] for name, _ in VISITOR_PROFILE.columns}
    assert profile == merge_cells("visitor", history, recent)
    facts = [fact(event_id, received_at_ms=one["at_ms"], **one) for event_id, one in day_events(range(4))]
    naive = merged_values("visitor", facts, profile["as_of_ms"], POLICIES)
    assert {name: profile[name] for name in naive} == naive


def test_the_items_service_merges_profile_and_trend(store: FeatureStore, module_settings: Settings) -> None:
    history, recent = (
        history_cells("item", days=range(2), each=6),
        recent_cells("item", item_row(days=range(4), each=6)),
    )
    write_parquet(module_settings, ITEM_PROFILE, {"book": history})
    materialize(store, [ITEM_PROFILE.name])
    write_as_the_writer(module_settings, ITEM_TREND, "book", recent)
    stats = read(store, "item_v1", "item", "book")
    assert stats == merge_cells("item", history, recent)
    assert [name for name, _ in ITEM_STATS.columns] == list(stats)
    facts = [fact(event_id, received_at_ms=one["at_ms"], **one) for event_id, one in day_events(range(4), each=6)]
    counts = {name: history[f"history_{name}"] for name in ("shown", "clicked", "converted")}
    naive = merged_values("item", facts, stats["as_of_ms"], POLICIES, counts)
    assert {name: stats[name] for name in naive} == naive


def test_a_value_that_has_nothing_to_go_by_is_null_beside_one_that_has(
    store: FeatureStore, module_settings: Settings
) -> None:
    for visitor, each in (("rates", 6), ("never-rates", 3)):
        cells = recent_cells("visitor", visitor_row(days=(1,), each=each))
        write_as_the_writer(module_settings, VISITOR_RECENT, visitor, cells)
    names = ("rating_mean", "recency_ms", "watch_weekdays", "recent_watches_items", "incomplete")
    for asked in (["rates", "never-rates", "unknown"], ["never-rates", "unknown"], ["unknown"]):
        keys = [{"visitor_id": visitor} for visitor in asked]
        answer = store.get_online_features([f"visitor_profile:{name}" for name in names], keys).to_dict()
        expected = {"rates": (4.5, 0, 1.0), "never-rates": (None, 0, 0.0), "unknown": (None, None, 0.0)}
        told = zip(answer["rating_mean"], answer["recency_ms"], map(sum, answer["watch_weekdays"]), strict=True)
        assert list(told) == [expected[visitor] for visitor in asked]
        assert answer["recent_watches_items"] == [["item-4"] if visitor == "rates" else [] for visitor in asked]
        assert answer["incomplete"] == [[]] * len(asked)


def test_the_moment_of_a_request_needs_no_store(store: FeatureStore) -> None:
    asked: dict[str, Any] = {"asked_at_ms": 1_750_000_000_000, "utc_offset_min": 120, "device": "tv"}
    answer = store.get_online_features(store.get_feature_service("moment_v1"), [asked]).to_dict()
    expected = context_cells(**asked)
    assert {name: answer[name] for name in expected} == {name: [value] for name, value in expected.items()}


def test_many_entities_are_read_at_once_in_order(store: FeatureStore, module_settings: Settings) -> None:
    for number in (1, 3):
        cells = session_cells(visitor_row(days=(1,), each=number), POLICIES)
        assert cells is not None
        write_as_the_writer(module_settings, VISITOR_SESSION, f"visitor-{number}", cells)
    keys = [{"visitor_id": f"visitor-{number}"} for number in (3, 2, 1)]
    answer = store.get_online_features(["visitor_session:session_length"], keys).to_dict()
    assert answer["session_length"] == [3, None, 1]


def test_a_training_set_has_what_was_known_at_each_instant_and_nothing_later(
    store: FeatureStore, settings: Settings
) -> None:
    own = register(settings)
    known, later = (history_cells("visitor", days=range(days)) for days in (1, 2))
    rows = [(known, CUTOFF), (later, CUTOFF + timedelta(days=1))]
    records = [{"visitor_id": "ada", TIMESTAMP_COLUMN: at, **cells} for cells, at in rows]
    path = offline_path(settings.offline_dir, VISITOR_HISTORY.name)
    pq.write_table(pa.Table.from_pylist(records, schema=arrow_schema(VISITOR_HISTORY)), path)
    instants = [CUTOFF - timedelta(hours=1), CUTOFF + timedelta(hours=1), CUTOFF + timedelta(days=2)]
    asked = pd.DataFrame({"visitor_id": "ada", TIMESTAMP_COLUMN: instants})
    wanted = [f"{VISITOR_HISTORY.name}:history_interactions"]
    frame = own.get_historical_features(asked, wanted).to_df().sort_values(TIMESTAMP_COLUMN)
    found = [None if pd.isna(value) else int(value) for value in frame["history_interactions"]]
    assert found == [None, known["history_interactions"], later["history_interactions"]]
    close_store(own)


def test_registering_again_changes_nothing(store: FeatureStore, module_settings: Settings) -> None:
    before = described(store)
    again = register(module_settings)
    assert described(again) == before
    close_store(again)


def described(store: FeatureStore) -> dict[str, Any]:
    views = [*store.list_feature_views(), *store.list_on_demand_feature_views()]
    services = {service.name: len(service.feature_view_projections) for service in store.list_feature_services()}
    return {view.name: (view.current_version_number, len(view.features)) for view in views} | services


def test_reading_leaves_the_callers_configuration_alone(store: FeatureStore, module_settings: Settings) -> None:
    read(store, "session_v1", "visitor", "nobody")
    assert store.config.online_store.stores == configuration(module_settings)["online_store"]["stores"]
    assert type(store.config.online_store).__name__ == "RoutedOnlineStoreConfig"


@pytest.mark.parametrize("server", ["redis", "cassandra"])
def test_a_server_that_is_away_is_named(store: FeatureStore, module_settings: Settings, server: str) -> None:
    absent = getattr(instance_in(module_settings.state_dir), server)
    elsewhere = module_settings.model_copy(update={server: absent})
    view = VISITOR_SESSION if server == "redis" else VISITOR_HISTORY
    lost = open_store(elsewhere)
    with pytest.raises(DependencyError, match=rf"{server} 127\.0\.0\.1:{absent.port}.*FIRTH_{server.upper()}__PORT"):
        read_view(lost, view, "ada")
    close_store(lost)


def test_a_view_whose_table_is_absent_tells_to_register(store: FeatureStore, module_settings: Settings) -> None:
    elsewhere = module_settings.model_copy(
        update={"cassandra": module_settings.cassandra.model_copy(update={"keyspace": "never_registered"})}
    )
    unregistered = open_store(elsewhere)
    with pytest.raises(ConfigurationError, match="python -m feature_repo apply"):
        read_view(unregistered, VISITOR_HISTORY, "ada")
    close_store(unregistered)
