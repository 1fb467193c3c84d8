"""What Feast does with time, absence and ownership by itself, and that it cannot hurt here: one test for each trap."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pandas as pd
import pytest
import yaml
from feast import FeatureStore
from feast.data_source import PushMode
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from redis import Redis

from domain.merge import merge_cells, session_cells
from domain.rows import Row
from domain.slates import Visitor, recognise
from domain.states import ItemState, VisitorState
from feature_repo.layout import EntityKeys
from feature_repo.offline import TIMESTAMP_COLUMN
from feature_repo.online_store import SpeedOwnedView
from feature_repo.store import close_store, configuration, open_store, register
from feature_repo.views import (
    ITEM_PROFILE,
    ITEM_TREND,
    VISITOR_HISTORY,
    VISITOR_PROFILE,
    VISITOR_RECENT,
    VISITOR_SESSION,
    View,
)
from infra.settings import CassandraSettings, RedisSettings, Settings
from serving.adapters.redis_features import RedisFeatures
from serving.pipeline.hydrate import SpeedRows
from speed.writer.finishing import FeatureUpdate, Finisher
from speed.writer.sink import RedisFeatureSink
from tests.builders import MINUTE_BUCKETS, START_MS, fact, interaction, stamp
from tests.integration.feast_rows import (
    CUTOFF,
    FEAST,
    materialize,
    nothing,
    read,
    read_view,
    run,
    write_as_the_writer,
    write_parquet,
)
from tests.rows import POLICIES, history_cells, item_row, opened, recent_cells, visitor_row
from tests.unit.batch.stream_in_memory import batch_cells

GAP_MS = POLICIES.session.gap_ms


@pytest.fixture(scope="module")
def store(
    module_settings: Settings, redis_server: RedisSettings, cassandra: CassandraSettings
) -> Iterator[FeatureStore]:
    """A registered feature store that the tests of this module share; each uses entities of its own."""
    store = register(module_settings)
    yield store
    close_store(store)


def written(settings: Settings, *updates: FeatureUpdate) -> list[list[bool]]:
    with closing(RedisFeatureSink(settings.redis, settings.feast.project)) as sink:
        return sink.write(updates).outcomes


def finisher(settings: Settings) -> Finisher:
    return Finisher(settings.feast.project, POLICIES)


def row_of(visitor: str, *instants_ms: int) -> Row:
    """What the stream keeps of a visitor who acted at these instants, one offset each."""
    state = VisitorState.load(None, POLICIES)
    for offset, at_ms in enumerate(instants_ms):
        state.observe(interaction(f"e{offset}", visitor=visitor, at_ms=at_ms), stamp(at_ms, offset=offset))
    return state.row


def served(settings: Settings, visitor: str) -> SpeedRows:
    """What our own reader finds."""

    async def look() -> SpeedRows:
        features = RedisFeatures(settings.redis, settings.feast.project, deadline_ms=5_000)
        try:
            return await features.read(visitor)
        finally:
            await features.close()

    return asyncio.run(look())


def recognised(settings: Settings, visitor: str, asked_at_ms: int) -> Visitor:
    rows = served(settings, visitor)
    return recognise(rows.session, merge_cells("visitor", None, rows.recent), asked_at_ms, POLICIES.session)


# --- time: Feast drops what is not newer, and applies no time to live when it reads ---


def test_two_events_in_the_same_millisecond_both_count(store: FeatureStore, module_settings: Settings) -> None:
    for count in (1, 2):
        row = row_of("twin", *[START_MS] * count)
        assert written(module_settings, finisher(module_settings).visitor("twin", opened(row))) == [[True, True]]
    assert read_view(store, VISITOR_SESSION, "twin")["session_length"] == 2
    assert read(store, "session_v1", "visitor", "twin")["interactions"] == 2


@pytest.mark.parametrize("step_ms", [0, -1_000])
def test_a_row_that_includes_more_is_written_whatever_its_timestamp_says(
    store: FeatureStore, module_settings: Settings, step_ms: int
) -> None:
    key, state = f"clock{step_ms}", ItemState.load(None, POLICIES)
    for offset, at_ms in enumerate((START_MS, START_MS + step_ms)):
        state.add(fact(f"e{offset}", item=key, received_at_ms=at_ms), stamp(at_ms, offset=offset))
        row = msgspec.structs.replace(state.row, received_at_ms=at_ms)  # the row's own event time in Feast
        assert written(module_settings, finisher(module_settings).item(key, opened(row))) == [[True]]
    assert sum(read_view(store, ITEM_TREND, key)["recent_popularity_weight"]) > 0
    assert read(store, "item_v1", "item", key)["counts_values"] == [2]


def test_a_batch_row_of_the_same_cutoff_replaces_the_one_before(store: FeatureStore, module_settings: Settings) -> None:
    for each in (1, 2):
        cells = history_cells("visitor", days=(0,), each=each)
        row = {"visitor_id": "again", TIMESTAMP_COLUMN: CUTOFF, **cells}
        store.write_to_online_store(VISITOR_HISTORY.name, pd.DataFrame([row]))
        assert read_view(store, VISITOR_HISTORY, "again") == cells


def test_an_idle_session_is_not_served_as_current_although_its_row_is_there(
    store: FeatureStore, module_settings: Settings
) -> None:
    written(module_settings, finisher(module_settings).visitor("idle", opened(row_of("idle", START_MS, START_MS + 1))))
    assert recognised(module_settings, "idle", START_MS + 1 + GAP_MS).session_length == 2
    over = recognised(module_settings, "idle", START_MS + 2 + GAP_MS)
    assert (over.session, over.session_length) == ((), 0)
    assert over.past[-1].at_ms == START_MS + 1
    row = read_view(store, VISITOR_SESSION, "idle")  # the SDK shows it still, with the instant that tells its age
    assert (row["session_length"], row["session_last_at_ms"]) == (2, START_MS + 1)


def test_a_hot_view_keeps_a_cold_one_alive_which_is_still_not_current(
    store: FeatureStore, module_settings: Settings
) -> None:
    hot = finisher(module_settings).visitor("warm", opened(row_of("warm", START_MS)))
    written(module_settings, hot)
    key = EntityKeys(module_settings.feast.project, VISITOR_SESSION.join_key).key("warm")
    with Redis(module_settings.redis.host, module_settings.redis.port) as redis:
        redis.expire(key, 5)
        recent = tuple(row for row in hot.rows if row.view == VISITOR_RECENT.name)
        assert written(module_settings, FeatureUpdate(hot.key, {0: 1}, hot.received_at_ms, recent)) == [[True]]
        assert redis.ttl(key) > 5
    assert read_view(store, VISITOR_SESSION, "warm")["session_last_at_ms"] == START_MS
    assert recognised(module_settings, "warm", START_MS + GAP_MS + 1).session == ()


# --- absence: an unknown key of Redis is PRESENT, with None ---


def test_an_unknown_key_is_present_with_none_and_is_not_taken_for_zeros(
    store: FeatureStore, module_settings: Settings
) -> None:
    wanted = [f"{VISITOR_SESSION.name}:session_length", f"{VISITOR_HISTORY.name}:history_interactions"]
    answer = store.get_online_features(wanted, [{"visitor_id": "nobody"}])
    statuses = [FieldStatus.Name(vector.statuses[0]) for vector in answer.proto.results]
    told = dict(zip(answer.proto.metadata.feature_names.val, statuses, strict=True))
    assert (told["session_length"], told["history_interactions"]) == ("PRESENT", "NOT_FOUND")  # Redis, Cassandra
    assert answer.to_dict() == {"visitor_id": ["nobody"], "session_length": [None], "history_interactions": [None]}
    merged = read(store, "session_v1", "visitor", "nobody")
    assert merged == nothing(VISITOR_SESSION) | merge_cells("visitor", None, None)
    assert (merged["as_of_ms"], merged["covered_to_ms"]) == (0, 0)  # as of never: neither layer knows the visitor
    assert served(module_settings, "nobody") == SpeedRows(None, None)
    assert recognised(module_settings, "nobody", START_MS) == Visitor()


def test_a_batch_row_that_is_absent_covers_nothing(store: FeatureStore, module_settings: Settings) -> None:
    written(module_settings, finisher(module_settings).visitor("fresh", opened(row_of("fresh", START_MS))))
    merged = read(store, "session_v1", "visitor", "fresh")
    assert (merged["covered_to_ms"], merged["history_gap"], merged["interactions"]) == (0, 0, 1)


# --- two writers of one view lose updates: each view has one owner, and both meet only when read ---


def test_a_publish_that_races_the_stream_never_moves_a_value_backwards(
    store: FeatureStore, module_settings: Settings
) -> None:
    events, step_ms, period_ms = 90, 4_000, MINUTE_BUCKETS.bucket.period_ms
    facts = [fact(f"e{n}", visitor="racer", received_at_ms=START_MS + n * step_ms) for n in range(events)]
    streamed, is_done = threading.Event(), threading.Event()
    reached = [0]

    def stream() -> None:
        state, finish = VisitorState.load(None, MINUTE_BUCKETS), Finisher(module_settings.feast.project, MINUTE_BUCKETS)
        with closing(RedisFeatureSink(module_settings.redis, module_settings.feast.project)) as sink:
            for number, one in enumerate(facts):
                event = interaction(f"e{number}", visitor="racer", at_ms=one.occurred_at_ms)
                state.observe(event, stamp(one.received_at_ms, offset=number))
                sink.write([finish.visitor("racer", opened(state.row))])
                reached[0] = one.received_at_ms
                streamed.wait(0.05)

    def publish() -> None:
        own, published_ms = open_store(module_settings), START_MS
        while not is_done.is_set():
            cutoff_ms = MINUTE_BUCKETS.bucket.start_of(reached[0])
            if cutoff_ms > published_ms:
                covered = [one for one in facts if one.received_at_ms < cutoff_ms]
                at = datetime.fromtimestamp(cutoff_ms / 1000, UTC)
                cells = batch_cells("visitor", covered, cutoff_ms, MINUTE_BUCKETS)
                frame = pd.DataFrame([{"visitor_id": "racer", TIMESTAMP_COLUMN: at, **cells}])
                own.write_to_online_store(VISITOR_HISTORY.name, frame)
                published_ms = cutoff_ms
            is_done.wait(0.02)
        close_store(own)

    seen: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as threads:
        streaming, publishing = threads.submit(stream), threads.submit(publish)
        while not streaming.done():
            merged = read(store, "session_v1", "visitor", "racer")
            seen.append((merged["interactions"], merged["covered_to_ms"]))
        is_done.set()
        streaming.result()
        publishing.result()
    assert seen == sorted(seen)
    assert len({covered for _, covered in seen}) > (events * step_ms) // period_ms // 2
    assert read(store, "session_v1", "visitor", "racer")["interactions"] == events


def test_nobody_writes_a_speed_owned_view_through_feast(store: FeatureStore, module_settings: Settings) -> None:
    session = session_cells(visitor_row(days=(1,)), POLICIES)
    assert session is not None
    write_as_the_writer(module_settings, VISITOR_SESSION, "owned", session)
    intruder = {**session, "session_length": 999}
    frame = pd.DataFrame([{"visitor_id": "owned", TIMESTAMP_COLUMN: CUTOFF, **intruder}])
    with pytest.raises(SpeedOwnedView, match="only the feature writer"):
        store.write_to_online_store(VISITOR_SESSION.name, frame)
    with pytest.raises(SpeedOwnedView):
        store.push(f"{VISITOR_SESSION.name}_push", frame, to=PushMode.ONLINE)
    write_parquet(module_settings, VISITOR_SESSION, {"owned": intruder})
    with pytest.raises(SpeedOwnedView, match="feast materialize START END --views visitor_history"):
        materialize(store, [VISITOR_SESSION.name])
    assert read_view(store, VISITOR_SESSION, "owned") == session


def test_a_bare_materialize_loads_the_batch_views_only(settings: Settings, store: FeatureStore) -> None:
    own = register(settings)
    try:
        history, profile = history_cells("visitor", days=(0,)), history_cells("item", days=(0,))
        write_parquet(settings, VISITOR_HISTORY, {"ada": history})
        write_parquet(settings, ITEM_PROFILE, {"book": profile})
        materialize(own)
        assert read_view(own, VISITOR_HISTORY, "ada") == history
        assert read_view(own, ITEM_PROFILE, "book") == profile
        assert read_view(own, VISITOR_SESSION, "ada") == nothing(VISITOR_SESSION)
    finally:
        close_store(own)


def test_feast_materialize_cannot_overwrite_a_speed_owned_view_nor_break_a_batch_view(
    settings: Settings, store: FeatureStore
) -> None:
    """The stock command over files that hold rows for every view, those of the stream among them."""
    own = register(settings)
    rows: dict[View, dict[str, Any]] = {
        VISITOR_RECENT: recent_cells("visitor", visitor_row(days=(1, 2))),
        ITEM_TREND: recent_cells("item", item_row(days=(1, 2))),
    }
    intruders = {
        VISITOR_RECENT: recent_cells("visitor", visitor_row(days=(1,), each=9)),
        ITEM_TREND: recent_cells("item", item_row(days=(1,), each=9)),
    }
    batch = {VISITOR_HISTORY: history_cells("visitor", days=(0,)), ITEM_PROFILE: history_cells("item", days=(0,))}
    for view, cells in rows.items():
        write_as_the_writer(settings, view, "x", cells)
        write_parquet(settings, view, {"x": intruders[view]})
    for view, cells in batch.items():
        write_parquet(settings, view, {"x": cells})
    file = settings.state_dir / "feature_store.yaml"
    file.write_text(yaml.safe_dump(configuration(settings)))
    span = [(CUTOFF + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S") for days in (-1, 1)]

    refused = run(settings, FEAST, "-f", file, "materialize", *span)
    assert refused.returncode != 0
    assert "only the feature writer writes it" in refused.stderr + refused.stdout
    for view, cells in rows.items():
        assert read_view(own, view, "x") == cells

    named = [option for view in batch for option in ("--views", view.name)]
    loaded = run(settings, FEAST, "-f", file, "materialize", *span, *named)
    assert loaded.returncode == 0, loaded.stderr
    close_store(own)
    own = open_store(settings)  # as everybody else sees it, not from what this one remembers
    for view, cells in (rows | batch).items():
        assert read_view(own, view, "x") == cells
    merged = read(own, "session_v1", "visitor", "x")
    expected = merge_cells("visitor", batch[VISITOR_HISTORY], rows[VISITOR_RECENT])
    assert {name: merged[name] for name, _ in VISITOR_PROFILE.columns} == expected
    close_store(own)
