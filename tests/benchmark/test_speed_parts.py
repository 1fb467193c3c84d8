"""What the benchmark of the stream stands on: its batches are Kafka's, and its comparison finds what is wrong."""

from __future__ import annotations

from collections import defaultdict

import pytest
from kafka.record.default_records import DefaultRecordBatch

from domain.facts import Stamp
from domain.policies import Policies
from domain.reference import LogRecord
from domain.rows import Row, decode_row
from domain.states import Admitted, ItemState, VisitorState, encoded_row
from schemas.events import decode_interaction
from tests.benchmark.exactness import Exactness
from tests.benchmark.load import Load, make_load
from tests.benchmark.row_log import Moment, RowLog, percentiles
from tests.builders import START_MS

POLICIES = Policies()


class Stream:
    """The states of the domain in memory, fed with the batches of a load."""

    def __init__(self, load: Load) -> None:
        self.visitor_rows: dict[str, list[Row]] = defaultdict(list)
        self.item_rows: dict[str, list[Row]] = {}
        self.watched: list[LogRecord] = []
        self._visitors: dict[str, bytes] = {}
        self._items: dict[str, bytes] = {}
        self._ends: dict[int, int] = defaultdict(int)
        for request in load.backlog:
            for batch in request.batches:
                self._take(batch.partition, batch.raw)
                first = self._ends[batch.partition] - batch.count
                self.watched += [
                    LogRecord(decode_interaction(raw), Stamp(START_MS, batch.partition, first + place))
                    for place, raw in batch.watched
                ]

    def _take(self, partition: int, raw: bytes) -> None:
        packed = DefaultRecordBatch(raw)
        assert packed.validate_crc()
        for record in packed:
            event, stamp = decode_interaction(record.value), Stamp(START_MS, partition, self._ends[partition])
            assert record.key.decode() == event.visitor_id
            self._ends[partition] += 1
            visitor = VisitorState.load(self._visitors.get(event.visitor_id), POLICIES)
            outcome = visitor.observe(event, stamp)
            self._visitors[event.visitor_id] = visitor.dump()
            self.visitor_rows[event.visitor_id].append(decode_row(encoded_row(visitor.dump())))
            if isinstance(outcome, Admitted):
                item = ItemState.load(self._items.get(event.item_id), POLICIES)
                item.add(outcome.fact, stamp)
                self._items[event.item_id] = item.dump()
                self.item_rows[event.item_id] = [decode_row(item.dump())]


@pytest.fixture(scope="module")
def load() -> Load:
    return make_load(200, 1_500, rate=100, seconds=0, warm_up_min=0)


@pytest.fixture
def stream(load: Load) -> Stream:
    return Stream(load)


def test_rows_of_the_domain_equal_the_reference(load: Load, stream: Stream) -> None:
    exactness = Exactness(POLICIES)
    exactness.compare_visitors(stream.visitor_rows, stream.watched, load.watched_visitors)
    exactness.compare_items(stream.item_rows, stream.watched, load.watched_items)
    assert exactness.differences == []
    assert exactness.rows > 200
    assert exactness.fields > 20 * exactness.rows


def test_a_row_that_lacks_an_event_is_a_mismatch(load: Load, stream: Stream) -> None:
    visitor = next(key for key in load.watched_visitors if len(stream.visitor_rows[key]) > 1)
    stream.visitor_rows[visitor].pop()
    exactness = Exactness(POLICIES)
    exactness.compare_visitors(stream.visitor_rows, stream.watched, [visitor])
    assert any("the last row is at" in difference for difference in exactness.differences)


def test_a_wrong_value_is_a_mismatch(load: Load, stream: Stream) -> None:
    item = load.watched_items[0]
    stream.item_rows[item][0].buckets[0].states.popitem()
    exactness = Exactness(POLICIES)
    exactness.compare_items(stream.item_rows, stream.watched, [item])
    assert exactness.report()["mismatches"] > 0


def test_rows_tell_when_how_much_of_the_log_was_taken_in() -> None:
    rows = RowLog([Moment(10, 1, ((0, 4),), 1), Moment(20, 1, ((1, 9),), 1), Moment(30, 1, ((0, 3),), 1)])
    assert list(rows.progress()) == [(10, 5), (20, 15), (30, 15)]
    assert rows.reached(5, 6, 15) == [10, 20, 20]
    with pytest.raises(AssertionError, match="do not tell of 16"):
        rows.reached(16)


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentiles([]) == {"n": 0}
    assert percentiles([3, 1, 2]) == {"p50_ms": 2, "p90_ms": 3, "p99_ms": 3, "max_ms": 3, "n": 3}
