"""The contract of a feature sink, on the one in memory and on Redis: no delivery moves a row backwards."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Protocol

import pytest
from redis import Redis

from domain.rows import encode_row
from infra.settings import Settings
from speed.writer.finishing import FeatureUpdate, Finisher, ViewRemoval, ViewRow, covers, read_row
from speed.writer.sink import FeatureSink, RedisFeatureSink, Written, offsets_field
from tests.rows import visitor_row


class ReadableSink(Protocol):
    """A sink whose content a test can look at and wipe."""

    @property
    def sink(self) -> FeatureSink: ...

    def read(self, key: bytes, field: bytes) -> bytes | None: ...

    def wipe(self) -> None: ...


@dataclass
class MemorySink:
    """The contract in its most obvious form."""

    rows: dict[tuple[bytes, str], FeatureUpdate] = field(default_factory=dict)
    fields: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    wiped: int = 0

    @property
    def sink(self) -> FeatureSink:
        return self

    def epoch(self) -> str:
        return f"epoch-{self.wiped}"

    def write(self, updates: Sequence[FeatureUpdate]) -> Written:
        outcomes = [
            [self._remove(update.key, removal) for removal in update.removals]
            + [self._put(update, row) for row in update.rows]
            for update in updates
        ]
        return Written(outcomes, self.epoch())

    def _remove(self, key: bytes, removal: ViewRemoval) -> bool:
        stored = self.rows.get((key, removal.view))
        if stored is not None and removal.through is not None and not covers(removal.through, stored.offsets):
            return False
        self.rows.pop((key, removal.view), None)
        for name in removal.fields:
            self.fields.pop((key, name), None)
        return True

    def _put(self, update: FeatureUpdate, row: ViewRow) -> bool:
        stored = self.rows.get((update.key, row.view))
        if stored is not None and not covers(update.offsets, stored.offsets):
            return False
        self.rows[update.key, row.view] = update
        self.fields |= {(update.key, name): value for name, value in zip(row.fields, row.values, strict=True)}
        return True

    def read(self, key: bytes, field: bytes) -> bytes | None:
        return self.fields.get((key, field))

    def wipe(self) -> None:
        self.rows.clear()
        self.fields.clear()
        self.wiped += 1


@dataclass
class RedisSink:
    """The real one."""

    sink: RedisFeatureSink
    client: Any

    def read(self, key: bytes, field: bytes) -> bytes | None:
        value: bytes | None = self.client.hget(key, field)
        return value

    def wipe(self) -> None:
        self.client.flushall()


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest) -> Iterator[ReadableSink]:
    if request.param == "memory":
        yield MemorySink()
        return
    request.getfixturevalue("redis_server")
    settings: Settings = request.getfixturevalue("settings")
    with (
        closing(RedisFeatureSink(settings.redis, settings.feast.project)) as sink,
        closing(Redis(host=settings.redis.host, port=settings.redis.port)) as client,
    ):
        client.flushall()
        yield RedisSink(sink, client)


def update(offsets: dict[int, int], value: bytes = b"v", *, key: bytes = b"ada", views: str = "v") -> FeatureUpdate:
    """One field `f:<view>` per view named by a letter."""
    rows = tuple(ViewRow(view, (f"f:{view}".encode(),), [value]) for view in views)
    return FeatureUpdate(key, offsets, 0, rows)


def removal(through: dict[int, int] | None, *, views: str = "v", then: FeatureUpdate | None = None) -> FeatureUpdate:
    """The end of ada's views, and perhaps a row that began after it."""
    removals = tuple(ViewRemoval(view, (f"f:{view}".encode(),), through) for view in views)
    return FeatureUpdate(b"ada", then.offsets if then else {}, 0, then.rows if then else (), removals)


def written(store: ReadableSink, *updates: FeatureUpdate) -> list[list[bool]]:
    return store.sink.write(updates).outcomes


def test_a_first_row_is_written(store: ReadableSink) -> None:
    assert written(store, update({0: 1}, b"first")) == [[True]]
    assert store.read(b"ada", b"f:v") == b"first"


def test_a_newer_row_replaces_an_older_one(store: ReadableSink) -> None:
    written(store, update({0: 1}, b"old"))
    assert written(store, update({0: 2}, b"new")) == [[True]]
    assert store.read(b"ada", b"f:v") == b"new"


def test_an_older_row_does_not_overwrite(store: ReadableSink) -> None:
    written(store, update({0: 2}, b"new"))
    assert written(store, update({0: 1}, b"zombie")) == [[False]]
    assert store.read(b"ada", b"f:v") == b"new"


def test_a_row_that_is_newer_in_one_partition_and_older_in_another_does_not_overwrite(store: ReadableSink) -> None:
    written(store, update({0: 5, 1: 5}, b"both"))
    assert written(store, update({0: 9, 1: 4}, b"half"), update({0: 9}, b"less")) == [[False], [False]]
    assert store.read(b"ada", b"f:v") == b"both"


def test_a_row_with_one_more_partition_is_newer(store: ReadableSink) -> None:
    written(store, update({0: 5}, b"one"))
    assert written(store, update({0: 5, 3: 0}, b"two")) == [[True]]


def test_the_same_row_again_changes_nothing(store: ReadableSink) -> None:
    written(store, update({0: 5}, b"same"), update({0: 5}, b"same"))
    assert store.read(b"ada", b"f:v") == b"same"


def test_offsets_above_32_bits_are_compared_exactly(store: ReadableSink) -> None:
    high = 1 << 50
    written(store, update({0: high + 1}, b"new"))
    assert written(store, update({0: high}, b"old")) == [[False]]


def test_values_of_any_bytes_and_sizes_are_stored_under_their_fields(store: ReadableSink) -> None:
    values = [b"", bytes(range(256)), b"x" * 70_000, b"\x00", b"\xff" * 31]
    fields = tuple(b"f" * (1 + 40 * number) for number in range(len(values)))
    written(store, FeatureUpdate(b"ada", {0: 1}, 0, (ViewRow("v", fields, values),)))
    assert [store.read(b"ada", field) for field in fields] == values
    written(store, FeatureUpdate(b"ada", {}, 0, (), (ViewRemoval("v", fields, None),)))
    assert [store.read(b"ada", field) for field in fields] == [None] * len(values)


def test_entities_do_not_touch_each_other(store: ReadableSink) -> None:
    written(store, update({0: 5}, b"ada"), update({0: 1}, b"bob", key=b"bob"))
    assert (store.read(b"ada", b"f:v"), store.read(b"bob", b"f:v")) == (b"ada", b"bob")


def test_each_view_of_an_entity_has_offsets_of_its_own(store: ReadableSink) -> None:
    written(store, update({0: 5}, b"first", views="a"))
    assert written(store, update({0: 3}, b"late", views="ab")) == [[False, True]]
    assert (store.read(b"ada", b"f:a"), store.read(b"ada", b"f:b")) == (b"first", b"late")


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_in_any_order_and_however_often_the_row_that_includes_most_stays(
    store: ReadableSink, order: tuple[int, ...]
) -> None:
    rows = [update({0: 1}, b"1"), update({0: 4}, b"4"), update({0: 4, 1: 2}, b"6"), update({0: 7, 1: 2}, b"9")]
    for index in order + order:
        written(store, rows[index])
    assert store.read(b"ada", b"f:v") == b"9"


def test_a_removal_takes_all_that_it_covers(store: ReadableSink) -> None:
    written(store, update({0: 5, 1: 7}, b"old"))
    assert written(store, removal({0: 5, 1: 7})) == [[True]]
    assert store.read(b"ada", b"f:v") is None
    assert store.read(b"ada", offsets_field("v")) is None


def test_a_removal_spares_a_row_that_knows_more(store: ReadableSink) -> None:
    written(store, update({0: 9}, b"new"))
    assert written(store, removal({0: 5, 1: 7})) == [[False]]
    assert store.read(b"ada", b"f:v") == b"new"


def test_a_removal_without_offsets_takes_whatever_there_is(store: ReadableSink) -> None:
    written(store, update({0: 9}, b"any"))
    assert written(store, removal(None)) == [[True]]
    assert store.read(b"ada", b"f:v") is None


def test_a_row_that_began_anew_is_written_after_a_removal_though_it_includes_less(store: ReadableSink) -> None:
    written(store, update({0: 5, 1: 7}, b"old"))
    anew = update({0: 9}, b"new")
    assert written(store, anew) == [[False]]
    assert written(store, removal({0: 5, 1: 7}, then=anew)) == [[True, True]]
    assert store.read(b"ada", b"f:v") == b"new"
    assert written(store, removal({0: 5, 1: 7})) == [[False]]


def test_a_view_that_does_not_begin_anew_stays_removed(store: ReadableSink) -> None:
    written(store, update({0: 5}, b"old", views="ab"))
    written(store, removal({0: 5}, views="ab", then=update({0: 9}, b"new", views="a")))
    assert (store.read(b"ada", b"f:a"), store.read(b"ada", b"f:b")) == (b"new", None)


def test_a_removal_leaves_the_other_views_and_entities(store: ReadableSink) -> None:
    written(store, update({0: 5}, b"ada", views="ab"), update({0: 5}, b"bob", key=b"bob", views="a"))
    written(store, removal({0: 5}, views="a"))
    found = (store.read(b"ada", b"f:a"), store.read(b"ada", b"f:b"), store.read(b"bob", b"f:a"))
    assert found == (None, b"ada", b"bob")


def test_removing_what_is_not_there_is_no_error(store: ReadableSink) -> None:
    assert written(store, removal({0: 5})) == [[True]]


def test_the_epoch_stays_while_the_store_does_and_changes_when_it_is_wiped(store: ReadableSink) -> None:
    before = store.sink.epoch()
    assert store.sink.epoch() == before
    assert store.sink.write([update({0: 1})]).epoch == before
    store.wipe()
    assert store.sink.write([update({0: 1})]).epoch != before
    assert store.sink.epoch() != before


def test_nothing_to_write_is_no_error(store: ReadableSink) -> None:
    assert written(store) == []


# --- Redis alone ---


def redis_only(settings: Settings) -> tuple[RedisFeatureSink, Any]:
    return RedisFeatureSink(settings.redis, settings.feast.project), Redis(port=settings.redis.port)


@pytest.mark.usefixtures("redis_server")
def test_redis_forgets_a_row_after_its_time_to_live(settings: Settings) -> None:
    sink, client = redis_only(settings)
    with closing(sink), closing(client):
        sink.write([update({0: 1}, key=b"mortal")])
        assert 0 < client.ttl(b"mortal") <= settings.redis.row_ttl_s


@pytest.mark.usefixtures("redis_server")
def test_an_outdated_row_does_not_prolong_the_life_of_the_stored_one(settings: Settings) -> None:
    sink, client = redis_only(settings)
    with closing(sink), closing(client):
        sink.write([update({0: 2}, key=b"ending")])
        client.expire(b"ending", 10)
        sink.write([update({0: 1}, key=b"ending")])
        assert client.ttl(b"ending") <= 10


@pytest.mark.usefixtures("redis_server")
def test_redis_that_lost_its_scripts_is_taught_again(settings: Settings) -> None:
    sink, client = redis_only(settings)
    with closing(sink), closing(client):
        sink.write([update({0: 1}, key=b"taught")])
        client.script_flush()
        assert sink.write([update({0: 2}, key=b"taught")]).outcomes == [[True]]
        assert client.hget(b"taught", offsets_field("v")) == b"\x81\x00\x02"


@pytest.mark.usefixtures("redis_server")
def test_an_active_session_of_ten_events_takes_two_kilobytes_at_most(settings: Settings) -> None:
    sink, client = redis_only(settings)
    row = read_row(encode_row(visitor_row(days=[0], each=10)))
    assert row is not None
    written = Finisher(settings.feast.project, settings.policies).visitor("0123456789abcdef0123456789abcdef", row)
    with closing(sink), closing(client):
        sink.write([written])
        assert [row.view for row in written.rows] == ["visitor_recent", "visitor_session"]
        assert client.memory_usage(written.key, samples=0) <= 2_048
