"""Parity agrees with stores that are right, and names the field of those that are not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from batch.parity import choose
from batch.parity_comparer import Comparer, Owed
from batch.parity_findings import Parity
from domain.features import Entity
from domain.policies import AdmissionPolicy, BucketPolicy, Policies, SessionPolicy
from domain.reference import LogRecord
from schemas.events import KINDS
from tests.builders import START_MS, interaction, stamp
from tests.unit.batch.stream_in_memory import LogInMemory, StoresInMemory

PERIOD_MS = 60_000
POLICIES = Policies(
    bucket=BucketPolicy(period_ms=PERIOD_MS, kept=3, dedup=1),
    session=SessionPolicy(gap_ms=20_000),
    admission=AdmissionPolicy(admitted_max=12),
)
LIVE_FROM_MS = START_MS + 5 * PERIOD_MS


def generated(seed: int, *, history: int = 60, live: int = 200, buckets: int = 6) -> list[LogRecord]:
    """Imported history, then live records in two partitions with duplicates, floods and events that stay silent."""
    draw = random.Random(seed)
    log = []
    for number in range(history):
        at_ms = START_MS + number * 5 * PERIOD_MS // history
        event = interaction(f"h{number}", visitor=f"v{draw.randrange(8)}", item=f"i{draw.randrange(9)}", at_ms=at_ms)
        log.append(LogRecord(event, stamp(at_ms, partition=-1, offset=number)))
    for number in range(live):
        visitor = draw.randrange(8)
        at_ms = LIVE_FROM_MS + number * buckets * PERIOD_MS // live
        event = interaction(
            f"e{draw.randrange(150)}",
            visitor=f"v{visitor}",
            item=f"i{draw.randrange(12)}",
            kind=draw.choice(KINDS),
            at_ms=at_ms - draw.randrange(30_000),
            categories=tuple(draw.sample(("a", "b", "c"), draw.randrange(3))),
            value=draw.choice((None, 1.5)),
            personalise=draw.random() > 0.1,
        )
        log.append(LogRecord(event, stamp(at_ms, partition=visitor % 2, offset=number)))
    return log


def stores_of(log: list[LogRecord], *, cutoffs: tuple[int, ...] = ()) -> StoresInMemory:
    stores = StoresInMemory(POLICIES)
    stores.stream.observe(log)
    for cutoff_ms in cutoffs:
        stores.publish(log, cutoff_ms)
    return stores


def parity(stores: StoresInMemory, log: list[LogRecord], *, is_at_rest: bool = True) -> Parity:
    archived = LogInMemory(log, POLICIES)
    comparer = Comparer(stores, archived, POLICIES, Owed())
    return comparer.run(choose(archived.keys(), None, random.Random(0)), is_at_rest=is_at_rest, limit_s=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("cutoffs", [(), (LIVE_FROM_MS,), (LIVE_FROM_MS + 2 * PERIOD_MS, LIVE_FROM_MS + 4 * PERIOD_MS)])
def test_right_stores_agree_whatever_batch_has_published(seed: int, cutoffs: tuple[int, ...]) -> None:
    log = generated(seed)
    found = parity(stores_of(log, cutoffs=cutoffs), log)
    assert (found.mismatches, found.unsettled, found.worst) == (0, 0, [])
    assert found.rows >= 20
    assert found.fields > 200


def test_a_visitor_row_is_compared_at_its_own_offsets_while_traffic_goes_on() -> None:
    log = generated(1)
    stores = StoresInMemory(POLICIES)
    stores.stream.observe(log[:200])
    comparer = Comparer(stores, LateLog(log[:150], log, POLICIES), POLICIES, Owed())
    keys: list[tuple[Entity, str]] = [("visitor", f"v{number}") for number in range(8)]
    found = comparer.run(keys, is_at_rest=False, limit_s=0)
    assert (found.mismatches, found.unsettled) == (0, 0)
    assert found.rows == 24


class LateLog(LogInMemory):
    """First it holds the first records; after a row's offsets were seen, all of them."""

    def __init__(self, first: list[LogRecord], everything: list[LogRecord], policies: Policies) -> None:
        super().__init__(first, policies)
        self._everything = everything

    def catch_up(self, offsets: Any) -> None:
        self.records = self._everything


def test_an_item_in_motion_is_unsettled_and_at_rest_a_mismatch() -> None:
    log = [record_of(number) for number in range(3)]
    stores = StoresInMemory(POLICIES)
    stores.stream.observe(log[:2])
    late = LateLog(log[:2], log, POLICIES)
    assert Comparer(stores, late, POLICIES, Owed()).run([("item", "i")], is_at_rest=False, limit_s=0).unsettled == 1
    late = LateLog(log[:2], log, POLICIES)
    found = Comparer(stores, late, POLICIES, Owed()).run([("item", "i")], is_at_rest=True, limit_s=0)
    assert (found.mismatches, found.worst[0].feature) == (1, "recent_offsets")


def record_of(number: int, *, at_ms: int | None = None) -> LogRecord:
    received_at_ms = LIVE_FROM_MS + number if at_ms is None else at_ms
    return LogRecord(
        interaction(f"e{number}", visitor="ada", item="i", at_ms=received_at_ms), stamp(received_at_ms, offset=number)
    )


def test_a_row_that_is_absent_is_a_mismatch() -> None:
    log = [record_of(0)]
    found = parity(StoresInMemory(POLICIES), log, is_at_rest=False)
    assert [(one.feature, one.key) for one in found.worst] == [("recent_offsets", "ada"), ("recent_offsets", "i")]
    assert (found.mismatches, found.behind) == (2, 2)


def test_a_row_that_is_behind_is_a_mismatch() -> None:
    log = [record_of(number) for number in range(3)]
    stores = StoresInMemory(POLICIES)
    stores.stream.observe(log[:2])
    found = parity(stores, log, is_at_rest=False)
    assert [(one.expected, one.actual) for one in found.worst] == [({0: 2}, {0: 1}), ({0: 2}, {0: 1})]


def test_a_row_that_expired_is_not_expected() -> None:
    log = [record_of(0)]
    stores = StoresInMemory(POLICIES)
    stores.publish(log, LIVE_FROM_MS + PERIOD_MS)
    owed = Owed(stream_since_ms=LIVE_FROM_MS + 1)
    comparer = Comparer(stores, LogInMemory(log, POLICIES), POLICIES, owed)
    found = comparer.run([("visitor", "ada"), ("item", "i")], is_at_rest=True, limit_s=0)
    assert (found.rows, found.mismatches, found.history_gaps) == (4, 0, 0)


def test_a_key_that_batch_forgot_is_unsettled_and_at_rest_a_mismatch() -> None:
    log = generated(2)
    stores = stores_of(log, cutoffs=(LIVE_FROM_MS,))
    stores.forget_history("visitor", "v3")
    assert parity(stores, log, is_at_rest=False).unsettled == 1
    found = parity(stores, log)
    assert [(one.feature, one.key) for one in found.worst] == [("cutoff_ms", "v3")]


def test_a_batch_row_that_is_lost_is_not_forgotten_when_all_other_rows_are_compared() -> None:
    log = generated(2)
    stores = stores_of(log, cutoffs=(LIVE_FROM_MS,))
    stores.forget_history("visitor", "v3")
    archived = LogInMemory(log, POLICIES)
    keys = choose(archived.keys(), None, random.Random(0))
    found = Comparer(stores, archived, POLICIES, Owed()).run(keys, is_at_rest=True, limit_s=0.01)
    assert [(one.feature, one.key) for one in found.worst] == [("cutoff_ms", "v3")]


@pytest.mark.parametrize("is_at_rest", [False, True])
def test_a_lost_batch_row_of_a_published_run_is_a_mismatch_even_when_no_other_row_is_compared(is_at_rest: bool) -> None:
    log = generated(2)
    stores = stores_of(log, cutoffs=(LIVE_FROM_MS,))
    stores.forget_history("visitor", "v3")
    comparer = Comparer(stores, LogInMemory(log, POLICIES), POLICIES, Owed(published_ms=LIVE_FROM_MS))
    found = comparer.run([("visitor", "v3")], is_at_rest=is_at_rest, limit_s=0.01)
    assert [(one.feature, one.expected) for one in found.worst] == [("cutoff_ms", LIVE_FROM_MS)]


@pytest.mark.parametrize(("cutoffs", "are_gapped"), [((), True), ((LIVE_FROM_MS + 5 * PERIOD_MS,), False)])
def test_rows_that_batch_covers_too_late_are_counted_and_agree(cutoffs: tuple[int, ...], are_gapped: bool) -> None:
    log = generated(1)  # six buckets, of which the stream keeps three
    stores = stores_of(log, cutoffs=cutoffs)
    keys = choose(LogInMemory(log, POLICIES).keys(), None, random.Random(0))
    gapped = [key for key in keys if stores.read(key[0], [key[1]])[key[1]]["history_gap"]]
    found = parity(stores, log)
    assert (found.mismatches, found.history_gaps) == (0, len(gapped))
    assert bool(gapped) == are_gapped


def test_history_that_batch_has_not_published_is_in_no_store() -> None:
    log = generated(0, live=0)
    assert parity(StoresInMemory(POLICIES), log) == Parity()


@pytest.mark.parametrize(
    ("entity", "key", "column"),
    [
        ("visitor", "v1", "interactions"),
        ("visitor", "v1", "spend"),
        ("visitor", "v1", "session_length"),
        ("visitor", "v1", "session_dwell_mean_ms"),
        ("visitor", "v1", "as_of_ms"),
        ("visitor", "v1", "history_gap"),
        ("item", "i1", "popularity"),
    ],
)
def test_one_cell_off_by_one_is_named_with_both_values(entity: Entity, key: str, column: str) -> None:
    log = generated(0)
    stores = stores_of(log, cutoffs=(LIVE_FROM_MS + PERIOD_MS,))
    right = stores.read(entity, [key])[key][column]
    stores.changes[entity, key, column] = right + 1
    worst = parity(stores, log).worst
    if column == "as_of_ms":  # the instant at which everything decayed is finished
        assert worst[0].feature == column
    else:
        assert [(one.feature, one.key, one.expected, one.actual) for one in worst] == [(column, key, right, right + 1)]


def test_a_sample_has_as_many_visitors_and_items_as_there_are() -> None:
    keys: dict[Entity, list[str]] = {"visitor": ["a", "b", "c"], "item": ["x"]}
    chosen = choose(keys, 2, random.Random(1))
    assert [entity for entity, _ in chosen] == ["visitor", "visitor", "item"]
