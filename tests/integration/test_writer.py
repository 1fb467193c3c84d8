"""The feature writer between a real Kafka and a real Redis; the changelog is made by the domain, without Flink."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import pytest
from kafka import KafkaProducer, TopicPartition
from redis import Redis

from domain.facts import Stamp
from domain.merge import session_cells, stream_cells
from domain.rows import Row, encode_row
from domain.states import ItemState, VisitorState
from feature_repo.layout import EntityKeys
from feature_repo.views import ITEM_TREND, VISITOR_RECENT, VISITOR_SESSION, View
from infra import metrics
from infra.processes.readiness import heartbeat_path
from infra.settings import Settings
from schemas.topics import ITEM_STATES, VISITOR_STATES
from speed.tombstones import HEADER, encode_offsets
from speed.writer.__main__ import connect
from speed.writer.finishing import Finisher
from speed.writer.sink import RedisFeatureSink, offsets_field
from speed.writer.writing import FeatureWriter
from tests.builders import START_MS, fact, interaction
from tests.waiting import wait_until

LIMIT_S = 60.0


class Shop:
    """The changelogs of one test, and what the store says of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._prefix = settings.kafka.topic_prefix
        self._producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap)
        self.redis: Any = Redis(host=settings.redis.host, port=settings.redis.port)
        self._offset = 0

    def close(self) -> None:
        self._producer.close()
        self.redis.close()

    def stamp(self) -> Stamp:
        self._offset += 1
        return Stamp(START_MS + self._offset, 0, self._offset)

    def visitor_rows(self, visitor: str, clicks: int) -> list[Row]:
        """The rows of a visitor's successive clicks."""
        state, rows = VisitorState.load(None, self._settings.policies), []
        for click in range(clicks):
            state.observe(interaction(f"{visitor}-{click}", visitor=visitor, item=f"item-{click}"), self.stamp())
            rows.append(state.row)
        return rows

    def item_row(self, item: str, clicks: int) -> Row:
        state = ItemState.load(None, self._settings.policies)
        for click in range(clicks):
            state.add(fact(f"{item}-{click}", item=item), self.stamp())
        return state.row

    def publish(self, topic: str, key: str, *rows: Row) -> None:
        for row in rows:
            self._producer.send(f"{self._prefix}{topic}", key=key.encode(), value=encode_row(row))
        self._producer.flush()

    def publish_tombstone(self, topic: str, key: str, through: dict[int, int]) -> None:
        headers = [(HEADER, encode_offsets(through))]
        self._producer.send(f"{self._prefix}{topic}", key=key.encode(), value=None, headers=headers)
        self._producer.flush()

    def fields(self, view: View, entity: str) -> set[bytes]:
        """What the hash of an entity holds of one view, Feast's fields and ours."""
        own = {*view.layout().fields, offsets_field(view.name)}
        return own & set(self.redis.hkeys(EntityKeys(self._settings.feast.project, view.join_key).key(entity)))

    def read(self, view: View, entity: str) -> dict[str, Any] | None:
        """What the store says: the cells of one row of a view."""
        layout, keys = view.layout(), EntityKeys(self._settings.feast.project, view.join_key)
        return layout.decode(self.redis.hmget(keys.key(entity), layout.fields))

    def shows(self, visitor: str, row: Row) -> bool:
        return self.read(VISITOR_SESSION, visitor) == session_cells(row, self._settings.policies)


@pytest.fixture
def shop(redis_server: object, topics: list[str], settings: Settings) -> Iterator[Shop]:
    with closing(Shop(settings)) as shop:
        yield shop


@contextmanager
def writing(settings: Settings) -> Iterator[None]:
    """A writer that runs while the block does."""
    stopped, failures = threading.Event(), list[BaseException]()
    finisher, prefix = Finisher(settings.feast.project, settings.policies), settings.kafka.topic_prefix
    finish = {f"{prefix}{VISITOR_STATES.name}": finisher.visitor, f"{prefix}{ITEM_STATES.name}": finisher.item}

    def run() -> None:
        try:
            with (
                closing(RedisFeatureSink(settings.redis, settings.feast.project)) as sink,
                closing(connect(settings.kafka)) as consumer,
            ):
                FeatureWriter(consumer, sink, finish).run(stopped, heartbeat_path(settings.run_dir, "writer"))
        except BaseException as error:  # noqa: BLE001 - it must fail the test, not a thread
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join(LIMIT_S)
    assert not failures, failures


def test_the_store_says_what_the_newest_row_of_every_key_says(shop: Shop, settings: Settings) -> None:
    rows = {f"visitor-{number}": shop.visitor_rows(f"visitor-{number}", number % 7 + 1) for number in range(60)}
    items = {f"item-{number}": shop.item_row(f"item-{number}", number + 1) for number in range(20)}
    with writing(settings):
        for visitor, versions in rows.items():
            shop.publish(VISITOR_STATES.name, visitor, *versions)
        for item, row in items.items():
            shop.publish(ITEM_STATES.name, item, row)
        wait_until(lambda: all(shop.read(ITEM_TREND, item) for item in items), LIMIT_S, "the items' rows")
        for visitor, versions in rows.items():
            wait_until(lambda: shop.shows(visitor, versions[-1]), LIMIT_S, f"the newest row of {visitor}")  # noqa: B023
    for visitor, versions in rows.items():
        assert plain(shop.read(VISITOR_RECENT, visitor)) == plain(stream_cells("visitor", versions[-1]))
    for item, row in items.items():
        assert plain(shop.read(ITEM_TREND, item)) == plain(stream_cells("item", row))


def test_an_older_row_that_a_replay_repeats_does_not_overwrite(shop: Shop, settings: Settings) -> None:
    rows = shop.visitor_rows("ada", 5)
    with writing(settings):
        shop.publish(VISITOR_STATES.name, "ada", rows[-1])
        wait_until(lambda: shop.shows("ada", rows[-1]), LIMIT_S, "the newest row")
        shop.publish(VISITOR_STATES.name, "ada", *rows[:-1])
        marker = shop.visitor_rows("marker", 1)
        for _ in range(2):  # behind the replay in every partition that it can be in
            shop.publish(VISITOR_STATES.name, "marker", *marker)
        wait_until(lambda: shop.shows("marker", marker[0]), LIMIT_S, "the marker")
        wait_until(lambda: lag(settings) == 0, LIMIT_S, "the writer to commit all rows")
    assert shop.shows("ada", rows[-1])


def test_a_tombstone_removes_the_topics_views_of_its_key_and_nothing_else(shop: Shop, settings: Settings) -> None:
    ada, bob = shop.visitor_rows("ada", 3), shop.visitor_rows("bob", 1)
    removed = outcome("visitor_session", "removed")
    with writing(settings):
        shop.publish(VISITOR_STATES.name, "ada", *ada)
        shop.publish(VISITOR_STATES.name, "bob", *bob)
        wait_until(lambda: shop.shows("ada", ada[-1]) and shop.shows("bob", bob[-1]), LIMIT_S, "the rows")
        key = EntityKeys(settings.feast.project, VISITOR_SESSION.join_key).key("ada")
        shop.redis.hset(key, "another view's", "value")
        shop.publish_tombstone(VISITOR_STATES.name, "ada", dict(ada[-1].offsets))
        wait_until(lambda: not shop.fields(VISITOR_SESSION, "ada"), LIMIT_S, "the end of Ada's session")
        assert not shop.fields(VISITOR_RECENT, "ada")
        assert shop.redis.hkeys(key) == [b"another view's"]
        assert shop.shows("bob", bob[-1])
        wait_until(lambda: outcome("visitor_session", "removed") == removed + 1, LIMIT_S, "the removal to be counted")


def test_an_item_that_begins_anew_replaces_its_former_row(shop: Shop, settings: Settings) -> None:
    former = shop.item_row("book", 3)
    former.offsets = {0: 5, 1: 7}
    anew = shop.item_row("book", 1)
    anew.offsets = {0: 9}
    with writing(settings):
        shop.publish(ITEM_STATES.name, "book", former)
        wait_until(lambda: shop.read(ITEM_TREND, "book"), LIMIT_S, "the former row")
        shop.publish_tombstone(ITEM_STATES.name, "book", former.offsets)
        shop.publish(ITEM_STATES.name, "book", anew)
        shop.publish_tombstone(ITEM_STATES.name, "book", former.offsets)  # a replay
        expected = plain(stream_cells("item", anew))
        wait_until(lambda: plain(shop.read(ITEM_TREND, "book")) == expected, LIMIT_S, "the row that began anew")
        wait_until(lambda: lag(settings) == 0, LIMIT_S, "the writer to commit all")
        assert plain(shop.read(ITEM_TREND, "book")) == expected


def test_a_wiped_store_is_not_given_what_a_tombstone_has_ended(shop: Shop, settings: Settings) -> None:
    rows, marker = shop.visitor_rows("ada", 2), shop.visitor_rows("marker", 1)
    with writing(settings):
        shop.publish(VISITOR_STATES.name, "ada", *rows)
        wait_until(lambda: shop.shows("ada", rows[-1]), LIMIT_S, "the row")
        shop.publish_tombstone(VISITOR_STATES.name, "ada", dict(rows[-1].offsets))
        shop.publish(VISITOR_STATES.name, "marker", *marker)
        wait_until(lambda: not shop.fields(VISITOR_SESSION, "ada"), LIMIT_S, "the tombstone")
        shop.redis.flushall()
        wait_until(lambda: shop.shows("marker", marker[0]), LIMIT_S, "the marker in the wiped store")
        wait_until(lambda: lag(settings) == 0, LIMIT_S, "the writer to commit all")
    assert not shop.fields(VISITOR_SESSION, "ada")


def test_a_wiped_store_is_filled_again_while_the_writer_runs(shop: Shop, settings: Settings) -> None:
    rows = shop.visitor_rows("ada", 3)
    with writing(settings):
        shop.publish(VISITOR_STATES.name, "ada", *rows)
        wait_until(lambda: shop.shows("ada", rows[-1]), LIMIT_S, "the row")
        shop.redis.flushall()
        wait_until(lambda: shop.shows("ada", rows[-1]), LIMIT_S, "the row in the wiped store")


def test_a_store_that_was_wiped_while_no_writer_ran_is_filled_again(shop: Shop, settings: Settings) -> None:
    rows = shop.visitor_rows("ada", 3)
    with writing(settings):
        shop.publish(VISITOR_STATES.name, "ada", *rows)
        wait_until(lambda: shop.shows("ada", rows[-1]), LIMIT_S, "the row")
    shop.redis.flushall()
    with writing(settings):
        wait_until(lambda: shop.shows("ada", rows[-1]), LIMIT_S, "the row in the wiped store")


def test_the_program_stops_cleanly_and_goes_on_where_it_stopped(shop: Shop, settings: Settings) -> None:
    first, second = shop.visitor_rows("ada", 1), shop.visitor_rows("bob", 1)
    shop.publish(VISITOR_STATES.name, "ada", *first)
    for visitor, rows in (("ada", first), ("bob", second)):
        shop.publish(VISITOR_STATES.name, visitor, *rows)
        program = subprocess.Popen([sys.executable, "-m", "speed.writer"], env=environment(settings))
        try:
            wait_until(lambda: shop.shows(visitor, rows[-1]), LIMIT_S, "the row")  # noqa: B023
            wait_until(heartbeat_path(settings.run_dir, "writer").exists, LIMIT_S, "the heartbeat")
            program.send_signal(signal.SIGTERM)
            assert program.wait(LIMIT_S) == 0
        finally:
            program.kill()
            program.wait()
    assert lag(settings) == 0


def environment(settings: Settings) -> dict[str, str]:
    """The process environment under which `load_settings` gives these settings, as far as the writer reads them."""
    return {
        **os.environ,
        "FIRTH_STATE_DIR": str(settings.state_dir),
        "FIRTH_KAFKA__PORT": str(settings.kafka.port),
        "FIRTH_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "FIRTH_REDIS__PORT": str(settings.redis.port),
        "FIRTH_FEAST__PROJECT": settings.feast.project,
    }


def outcome(view: str, outcome: str) -> float:
    """How many rows of a view this process's writers have counted so."""
    counted: float = metrics.WRITER_ROWS.labels(view, outcome)._value.get()
    return counted


def lag(settings: Settings) -> int:
    """Changelog records that the writers' group has not committed."""
    prefix = settings.kafka.topic_prefix
    with closing(connect(settings.kafka)) as consumer:
        partitions = [
            TopicPartition(topic, number)
            for topic in (f"{prefix}{VISITOR_STATES.name}", f"{prefix}{ITEM_STATES.name}")
            for number in consumer.partitions_for_topic(topic)
        ]
        ends = consumer.end_offsets(partitions)
        return sum(ends[partition] - (consumer.committed(partition) or 0) for partition in partitions)


def plain(cells: Any) -> Any:
    """Lists for tuples: the store keeps no difference."""
    return msgspec.to_builtins(cells)
