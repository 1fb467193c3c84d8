"""A keyed operator without Flink: what leaves, what waits, and how a state ends."""

from __future__ import annotations

from collections import Counter

from domain.facts import Stamp
from domain.hops import to_hop
from domain.rows import Row, decode_row
from domain.states import VisitorState
from schemas.events import encode
from speed.job.batches import NO_TIMER, Batch, Entry, pack_batch, read_answer
from speed.job.coalescing import Coalescing
from speed.job.lifetime import Lifetime
from speed.job.operators import CLEARED, KeyedOperator
from speed.job.records import (
    DEAD_LETTER,
    ITEM_HOP,
    ITEM_ROW,
    TOMBSTONE,
    VISITOR_ROW,
    SourceRecord,
    encode_hop,
    pack_bundle,
    pack_source,
    read_frame,
)
from speed.job.steps import ADMITTED, ItemStep, VisitorStep
from speed.tombstones import decode_offsets
from tests.builders import MINUTE_BUCKETS, START_MS, fact, interaction, stamp
from tests.unit.speed.job.keyed_memory import Memory, Timers

MINUTE = 60_000
ENDS_MS = START_MS + 12 * MINUTE
PERIOD = 500


class Visitor:
    """The visitor operator with one key under it, on a clock that the test moves."""

    def __init__(self) -> None:
        self.memory, self.timers = Memory(), Timers()
        self.counted: Counter[str] = Counter()
        self.now_ms = START_MS
        self._offset = 0
        self.restart()

    def restart(self) -> None:
        """As after a restore: state and timers are as they were, the rest is new."""
        policies = MINUTE_BUCKETS
        step, coalescing = VisitorStep(policies, "interactions"), Coalescing(PERIOD, fresh_ms=1_000)
        self.operator = KeyedOperator(step, coalescing, Lifetime(policies.bucket))

    def click(self, *, age_ms: int = 0, key: str = "ada") -> list[tuple[int, bytes, bytes]]:
        """A click that Kafka took `age_ms` ago; the frame's records."""
        at_ms, self._offset = self.now_ms - age_ms, self._offset + 1
        value = encode(interaction(f"e{self._offset}", visitor="ada", at_ms=at_ms))
        raw = pack_source(SourceRecord(stamp(at_ms, offset=self._offset), key.encode(), value))
        return read_frame(self.operator.take(raw, self.memory, self.timers, self.counted, self.now_ms))

    def pass_by(self, received_at_ms: int) -> None:
        """Another key's record, which moves the stream's clock."""
        value = encode(interaction("other", visitor="bob", at_ms=received_at_ms))
        raw = pack_source(SourceRecord(stamp(received_at_ms, offset=10_000), b"bob", value))
        self.operator.take(raw, Memory(), Timers(), Counter(), self.now_ms)

    def wait(self, until_ms: int) -> list[tuple[int, bytes, bytes]]:
        """Let the timers fire until then."""
        self.now_ms, found = until_ms, []
        for at_ms in self.timers.take_due(until_ms):
            frame = self.operator.wake(b"ada", at_ms, self.memory, self.timers, self.counted, at_ms)
            found += read_frame(frame)
        return found


def tags(records: list[tuple[int, bytes, bytes]]) -> list[int]:
    return [tag for tag, _, _ in records]


def row_of(records: list[tuple[int, bytes, bytes]]) -> Row:
    (value,) = [value for tag, _, value in records if tag in {VISITOR_ROW, ITEM_ROW}]
    return decode_row(value)


def test_while_the_job_is_fresh_every_row_leaves_at_once() -> None:
    visitor = Visitor()
    assert [tags(visitor.click()) for _ in range(5)] == [[VISITOR_ROW, ITEM_HOP]] * 5


def test_while_the_job_is_behind_hops_leave_and_rows_wait_and_the_last_one_leaves_by_timer() -> None:
    visitor = Visitor()
    sent = [tags(visitor.click(age_ms=5_000)) for _ in range(4)]
    assert sent == [[VISITOR_ROW, ITEM_HOP], [ITEM_HOP], [ITEM_HOP], [ITEM_HOP]]
    last = visitor.wait(visitor.now_ms + PERIOD)
    assert [key for _, key, _ in last] == [b"ada"]
    assert row_of(last).offsets == {0: 4}
    assert visitor.wait(visitor.now_ms + PERIOD) == []


def test_dead_letters_are_never_held_back() -> None:
    visitor = Visitor()
    visitor.click(age_ms=5_000)
    assert tags(visitor.click(age_ms=5_000, key="someone")) == [DEAD_LETTER]


def test_a_row_that_waited_through_a_restart_leaves_by_the_timer_of_the_checkpoint() -> None:
    visitor = Visitor()
    for _ in range(3):
        visitor.click(age_ms=5_000)
    visitor.restart()
    assert row_of(visitor.wait(visitor.now_ms + PERIOD)).offsets == {0: 3}


def test_a_state_past_its_end_is_cleared_and_leaves_a_tombstone_with_its_offsets() -> None:
    visitor = Visitor()
    for _ in range(3):
        visitor.click()
    visitor.pass_by(ENDS_MS)
    ((tag, key, header),) = visitor.wait(ENDS_MS + MINUTE)
    assert (tag, key, decode_offsets(header)) == (VISITOR_ROW | TOMBSTONE, b"ada", {0: 3})
    assert visitor.memory.blob is None
    assert visitor.counted[CLEARED] == 1
    assert visitor.timers.due == set()


def test_a_key_begins_anew_after_its_tombstone() -> None:
    visitor = Visitor()
    visitor.click()
    visitor.pass_by(ENDS_MS)
    visitor.wait(ENDS_MS + MINUTE)
    row = row_of(visitor.click())
    assert (row.offsets, len(row.buckets), len(row.visits)) == ({0: 2}, 1, 1)
    assert len(visitor.timers.due) == 1


def test_a_key_has_one_timer_for_its_end_and_it_moves_on_with_the_newest_record() -> None:
    visitor = Visitor()
    for bucket in range(5):
        visitor.now_ms = START_MS + bucket * MINUTE
        visitor.click()
    assert len(visitor.timers.due) == 1
    visitor.pass_by(ENDS_MS + MINUTE)
    assert visitor.wait(ENDS_MS + MINUTE) == []
    assert visitor.memory.blob is not None
    visitor.pass_by(ENDS_MS + 4 * MINUTE)
    assert tags(visitor.wait(ENDS_MS + 6 * MINUTE)) == [VISITOR_ROW | TOMBSTONE]


def test_right_after_a_restart_nothing_is_cleared_before_the_stream_has_caught_up() -> None:
    visitor = Visitor()
    visitor.click()
    visitor.restart()
    assert visitor.wait(ENDS_MS + MINUTE) == []
    assert visitor.memory.blob is not None
    visitor.pass_by(ENDS_MS)
    assert tags(visitor.wait(visitor.now_ms + 2 * MINUTE)) == [VISITOR_ROW | TOMBSTONE]


class Item:
    """The item operator with one key under it."""

    def __init__(self) -> None:
        self.memory, self.timers = Memory(), Timers()
        self.operator = KeyedOperator(ItemStep(MINUTE_BUCKETS), None, Lifetime(MINUTE_BUCKETS.bucket))

    def take(self, *stamps: Stamp, item: str = "book") -> list[tuple[int, bytes, bytes]]:
        """A bundle of hops with these stamps; the frame's records."""
        hops = [encode_hop(to_hop(fact(received_at_ms=one.received_at_ms), one)) for one in stamps]
        memory, timers = (self.memory, self.timers) if item == "book" else (Memory(), Timers())
        bundle = pack_bundle(item.encode(), hops)
        return read_frame(self.operator.take(bundle, memory, timers, Counter(), stamps[-1].received_at_ms))

    def wait(self, until_ms: int) -> list[tuple[int, bytes, bytes]]:
        """Let the timers fire until then."""
        wake = self.operator.wake
        frames = [
            wake(b"book", at_ms, self.memory, self.timers, Counter(), at_ms) for at_ms in self.timers.take_due(until_ms)
        ]
        return read_frame(b"".join(frames))


def test_every_bundle_of_an_item_is_a_row_that_leaves_at_once() -> None:
    item = Item()
    sent = [item.take(stamp(offset=2 * number), stamp(offset=2 * number + 1)) for number in range(3)]
    assert [tags(records) for records in sent] == [[ITEM_ROW]] * 3
    assert [row_of(records).offsets for records in sent] == [{0: 1}, {0: 3}, {0: 5}]


def test_an_items_tombstone_knows_every_partition() -> None:
    item = Item()
    item.take(stamp(partition=3, offset=1))
    item.take(stamp(partition=0, offset=2))
    item.take(stamp(ENDS_MS, offset=9), item="pen")
    ((tag, key, header),) = item.wait(ENDS_MS + MINUTE)
    assert (tag, key, decode_offsets(header)) == (ITEM_ROW | TOMBSTONE, b"book", {0: 2, 3: 1})


def test_a_batch_is_taken_in_its_order_and_its_states_are_those_of_its_keys() -> None:
    visitor, entries = Visitor(), []
    for number, name in enumerate(("ada", "bob", "ada")):
        value = encode(interaction(f"e{number}", visitor=name))
        raw = pack_source(SourceRecord(stamp(offset=number), name.encode(), value))
        entries.append(Entry(0 if name == "ada" else 1, NO_TIMER, raw))
    counts: Counter[str] = Counter()
    blobs, timers, frame = read_answer(visitor.operator.run(pack_batch(Batch([None, None], entries)), counts, START_MS))
    rows = [(key, row_of([(tag, key, value)])) for tag, key, value in read_frame(frame) if tag == VISITOR_ROW]
    assert [(key, row.offsets) for key, row in rows] == [(b"ada", {0: 0}), (b"bob", {0: 1}), (b"ada", {0: 2})]
    assert {place: len(VisitorState.load(blob, MINUTE_BUCKETS).row.visits) for place, blob in blobs.items()} == {
        0: 2,
        1: 1,
    }
    assert sorted(place for place, _ in timers) == [0, 1]
    assert counts == {ADMITTED: 3}


def test_a_timer_in_a_batch_wakes_its_key() -> None:
    visitor = Visitor()
    visitor.click()
    visitor.pass_by(ENDS_MS)
    (at_ms,) = visitor.timers.due
    batch = Batch([b"another", visitor.memory.blob], [Entry(1, at_ms, b"ada")])
    blobs, timers, frame = read_answer(visitor.operator.run(pack_batch(batch), visitor.counted, at_ms))
    assert (blobs, timers) == ({1: None}, [])
    assert [(tag, key) for tag, key, _ in read_frame(frame)] == [(VISITOR_ROW | TOMBSTONE, b"ada")]
