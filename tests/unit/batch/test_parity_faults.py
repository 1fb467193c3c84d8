"""Every kind of fault, put into a store that is right: parity must find it and name feature, key and both values."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest

import domain.merge
import domain.reference
import domain.states
from batch.parity import choose, unknown_keys
from batch.parity_comparer import Comparer, Owed
from batch.parity_findings import Mismatch, Parity, agrees
from domain.aggregates import Aggregate, DecayedSum, Windowed
from domain.facts import Stamp
from domain.features import Entity, Feature, features_of
from domain.impressions import ImpressionRecord
from domain.merge import Cells, merge_cells
from domain.policies import DAY_MS, MINUTE_MS, BucketPolicy, Policies, SessionPolicy
from domain.reference import LogRecord
from schemas.events import ImpressionEvent
from tests.builders import MINUTE_BUCKETS, START_MS, interaction, record, stamp
from tests.unit.batch.stream_in_memory import LogInMemory, StoresInMemory

PERIOD_MS = MINUTE_BUCKETS.bucket.period_ms
CUTOFF_MS = START_MS + 2 * PERIOD_MS
NOTHING_YET = Owed()


def visits(*, count: int = 6, every_ms: int = 40_000, **fields: Any) -> list[LogRecord]:
    """One visitor's interactions with one item, over several buckets."""
    return [
        record(f"e{number}", received_at_ms=START_MS + number * every_ms, offset=number, **fields)
        for number in range(count)
    ]


def stored(log: list[LogRecord], policies: Policies = MINUTE_BUCKETS, *, cutoff_ms: int = 0) -> StoresInMemory:
    stores = StoresInMemory(policies)
    stores.stream.observe(log)
    if cutoff_ms:
        stores.publish(log, cutoff_ms)
    return stores


def parity(
    stores: StoresInMemory,
    log: list[LogRecord],
    policies: Policies = MINUTE_BUCKETS,
    *,
    owed: Owed = NOTHING_YET,
    impressions: tuple[ImpressionRecord, ...] = (),
) -> Parity:
    archived = LogInMemory(log, policies, impressions)
    known = archived.keys()
    stream_keys: Mapping[Entity, list[str]] = {"visitor": [], "item": []}
    for entity, key in stores.rows:
        stream_keys[entity].append(key)
    keys = choose(known, None, random.Random(0)) + unknown_keys(stream_keys, known)
    return Comparer(stores, archived, policies, owed).run(keys, is_at_rest=False, limit_s=0)


def named(found: Parity, feature: str, key: str = "ada") -> Mismatch:
    """The one finding of this feature and key; a fault that is not named fails the test here."""
    (mismatch,) = [one for one in found.worst if (one.feature, one.key) == (feature, key)]
    return mismatch


def both(found: Parity, feature: str, key: str = "ada") -> tuple[Any, Any]:
    mismatch = named(found, feature, key)
    return mismatch.expected, mismatch.actual


def with_aggregate(monkeypatch: pytest.MonkeyPatch, layer: ModuleType, feature: str, aggregate: Aggregate) -> None:
    """Let one layer compute a feature with another aggregate; the columns stay as they are."""

    def changed(entity: Entity) -> tuple[Feature, ...]:
        return tuple(
            dataclasses.replace(one, aggregate=aggregate) if one.name == feature else one for one in features_of(entity)
        )

    monkeypatch.setattr(layer, "features_of", changed, raising=False)
    if layer is domain.states:
        monkeypatch.setattr(layer, "folds_of", lambda entity, _: [(one.name, one.aggregate) for one in changed(entity)])


def aggregate_of(feature: str) -> Any:
    return next(one.aggregate for entity in ("visitor", "item") for one in features_of(entity) if one.name == feature)


# --- rules that are off by one ---


def test_a_session_gap_that_is_one_millisecond_short() -> None:
    gap_ms = MINUTE_BUCKETS.session.gap_ms
    log = visits(count=2, every_ms=gap_ms)
    short = dataclasses.replace(MINUTE_BUCKETS, session=SessionPolicy(gap_ms=gap_ms - 1))
    assert both(parity(stored(log, short), log), "session_length") == (2, 1)


def test_a_session_gap_that_is_one_millisecond_long() -> None:
    gap_ms = MINUTE_BUCKETS.session.gap_ms
    log = visits(count=2, every_ms=gap_ms + 1)
    long = dataclasses.replace(MINUTE_BUCKETS, session=SessionPolicy(gap_ms=gap_ms + 1))
    assert both(parity(stored(log, long), log), "session_length") == (1, 2)


class WiderWindow(Windowed):
    """A window that includes its open end."""

    def finish(self, total: Any, as_of_ms: int) -> tuple[Any, ...]:
        return Windowed(self.of, tuple(window_ms + 1 for window_ms in self.windows_ms)).finish(total, as_of_ms)


class ShorterMemory(Windowed):
    """A total that lets a bucket go which a window still needs."""

    def extend(self, total: Any, state: Any, bucket_start_ms: int) -> Any:
        whole, buckets = Windowed.extend(self, total, state, bucket_start_ms)
        return whole, buckets[-1:]


def test_a_window_that_is_one_millisecond_too_wide_where_the_row_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    policies, kinds = Policies(), aggregate_of("kinds")
    log = visits(count=2, every_ms=DAY_MS)  # the second comes at midnight: a day before it is out of its day
    with_aggregate(monkeypatch, domain.merge, "kinds", WiderWindow(kinds.of, kinds.windows_ms))
    found = parity(stored(log, policies), log, policies)
    assert both(found, "kinds_1d_values") == ([1], [2])
    assert {one.feature for one in found.worst} == {"kinds_1d_values"}


def test_a_window_of_which_batch_keeps_a_bucket_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    policies, kinds = Policies(), aggregate_of("kinds")
    log = visits(count=4, every_ms=DAY_MS)
    with monkeypatch.context() as batch:
        with_aggregate(batch, domain.reference, "kinds", ShorterMemory(kinds.of, kinds.windows_ms))
        stores = stored(log, policies, cutoff_ms=START_MS + 3 * DAY_MS)
    found = parity(stores, log, policies)
    days = [START_MS + day * DAY_MS for day in range(3)]
    assert both(found, "history_kinds_window_buckets_ms") == (days, days[-1:])
    assert both(found, "kinds_7d_values") == ([4], [2])


def test_a_half_life_that_is_one_minute_long_in_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    policies, log = Policies(), visits(count=3, every_ms=5 * 3_600_000)
    half_life_ms = aggregate_of("popularity").half_life_ms
    with monkeypatch.context() as stream:
        with_aggregate(stream, domain.states, "popularity", DecayedSum(half_life_ms + MINUTE_MS))
        stores = stored(log, policies)
    (expected,), (actual,) = both(parity(stores, log, policies), "recent_popularity_weight", "book")
    assert 0 < expected - actual < 1_000
    assert named(parity(stores, log, policies), "popularity", "book").expected > 2


def test_a_half_life_that_is_one_millisecond_short_in_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    policies, log = Policies(), visits(count=40, every_ms=DAY_MS)
    half_life_ms = aggregate_of("popularity").half_life_ms
    with monkeypatch.context() as batch:
        with_aggregate(batch, domain.reference, "popularity", DecayedSum(half_life_ms - 1_000))
        stores = stored(log, policies, cutoff_ms=START_MS + 39 * DAY_MS)
    assert both(parity(stores, log, policies), "history_popularity_weight", "book")


@pytest.mark.parametrize(("shift_ms", "expected", "actual"), [(-PERIOD_MS, 6, 7), (PERIOD_MS, 6, 4)])
def test_a_reader_that_counts_a_bucket_twice_or_not_at_all(shift_ms: int, expected: int, actual: int) -> None:
    log = visits()
    stores = stored(log, cutoff_ms=CUTOFF_MS)

    def merge_at_another_cutoff(entity: Entity, history: Cells | None, recent: Cells | None) -> Cells:
        shifted = {**history, "cutoff_ms": history["cutoff_ms"] + shift_ms} if history else None
        return {**merge_cells(entity, shifted, recent), "covered_to_ms": CUTOFF_MS}

    stores.merge = merge_at_another_cutoff
    assert both(parity(stores, log), "interactions") == (expected, actual)


@pytest.mark.parametrize("shift_ms", [-PERIOD_MS, PERIOD_MS])
def test_a_batch_row_that_names_another_cutoff_than_it_covers(shift_ms: int) -> None:
    log = visits(every_ms=30_000, count=10)  # two a bucket; batch covers four
    stores = stored(log, cutoff_ms=CUTOFF_MS)
    stores.changes["visitor", "ada", "cutoff_ms"] = CUTOFF_MS + shift_ms
    found = parity(stores, log)
    assert both(found, "history_interactions") == (4 + shift_ms // PERIOD_MS * 2, 4)
    assert both(found, "interactions") == (10, 10 - shift_ms // PERIOD_MS * 2)


def test_a_batch_that_leaves_out_what_came_last_before_its_cutoff() -> None:
    log = visits()
    stores = stored(log)
    stores.publish(log[:2], CUTOFF_MS)
    assert both(parity(stores, log), "history_interactions") == (3, 2)


@pytest.mark.parametrize("cutoff_ms", [CUTOFF_MS + 1, CUTOFF_MS - PERIOD_MS, CUTOFF_MS + 9 * PERIOD_MS])
def test_a_cutoff_that_no_run_can_have(cutoff_ms: int) -> None:
    log = visits()
    stores = stored(log, cutoff_ms=CUTOFF_MS)
    stores.changes["visitor", "ada", "cutoff_ms"] = cutoff_ms
    owed = Owed(published_ms=CUTOFF_MS, cutoff_max_ms=CUTOFF_MS + 5 * PERIOD_MS)
    assert both(parity(stores, log, owed=owed), "cutoff_ms") == (CUTOFF_MS, cutoff_ms)


def test_a_stream_that_forgets_duplicates() -> None:
    log = visits(count=2)
    twice = LogRecord(log[0].event, stamp(START_MS + 50_000, offset=2))
    another = LogRecord(interaction("another", at_ms=START_MS), twice.stamp)
    found = parity(stored([*log, another]), [*log, twice])
    assert both(found, "interactions") == (2, 3)
    assert named(found, "recent_interactions").key == "ada"


# --- rows that are lost, late, old or made up ---


@pytest.mark.parametrize(("entity", "key"), [("visitor", "ada"), ("item", "book")])
def test_a_row_that_was_dropped(entity: Entity, key: str) -> None:
    log = visits()
    stores = stored(log)
    stores.rows[entity, key] = None
    assert both(parity(stores, log), "recent_offsets", key) == ({0: 5}, {})


@pytest.mark.parametrize(("entity", "key"), [("visitor", "ada"), ("item", "book")])
def test_a_row_that_stays_behind_the_log(entity: Entity, key: str) -> None:
    log = visits()
    stores = stored(log)
    stores.rows[entity, key] = stored(log[:-1]).row(entity, key)
    assert both(parity(stores, log), "recent_offsets", key) == ({0: 5}, {0: 4})


def test_a_row_that_was_moved_backwards_in_one_partition_and_forwards_in_another() -> None:
    log = visits()
    other = [record("x", visitor="bob", received_at_ms=START_MS + 1, offset=0)]
    other = [LogRecord(one.event, Stamp(one.stamp.received_at_ms, 1, 0)) for one in other]
    stores = stored([*log, *other])
    stores.rows["item", "book"] = stored([*log[:2], *other]).row("item", "book")
    assert both(parity(stores, [*log, *other]), "recent_offsets", "book") == ({0: 5, 1: 0}, {0: 1, 1: 0})


def test_a_batch_row_that_was_lost() -> None:
    log = visits()
    stores = stored(log, cutoff_ms=CUTOFF_MS)
    stores.forget_history("visitor", "ada")
    found = parity(stores, log, owed=Owed(published_ms=CUTOFF_MS))
    assert both(found, "cutoff_ms") == (CUTOFF_MS, None)


def test_a_batch_row_of_the_run_before() -> None:
    log = visits()
    stores = stored(log, cutoff_ms=CUTOFF_MS)
    stores.changes["item", "book", "cutoff_ms"] = CUTOFF_MS - PERIOD_MS
    found = parity(stores, log, owed=Owed(published_ms=CUTOFF_MS))
    assert both(found, "cutoff_ms", "book") == (CUTOFF_MS, CUTOFF_MS - PERIOD_MS)


@pytest.mark.parametrize(("entity", "key"), [("visitor", "nobody"), ("item", "nothing")])
def test_a_row_of_a_key_that_is_not_in_the_log(entity: Entity, key: str) -> None:
    log = visits()
    stores = stored(log)
    known = "ada" if entity == "visitor" else "book"
    stores.rows[entity, key] = stored(log).row(entity, known)
    expected, actual = both(parity(stores, log), "recent_buckets_ms", key)
    assert (expected, len(actual)) == ([], 4)


def test_a_session_of_a_visitor_who_must_not_be_personalised() -> None:
    log = visits(personalise=False)
    stores = stored(log)
    stores.rows["visitor", "ada"] = stored(visits()).row("visitor", "ada")
    assert both(parity(stores, log), "session_length") == (None, 6)


def test_a_bucket_that_the_stream_let_go_too_early() -> None:
    log = visits()
    stores = stored(log)
    stores.changes["visitor", "ada", "recent_dropped_through_ms"] = START_MS + PERIOD_MS
    assert both(parity(stores, log), "recent_dropped_through_ms") == (0, START_MS + PERIOD_MS)


def test_a_click_that_batch_did_not_see() -> None:
    log = visits(kind="click", slate_id="s1")
    slate = ImpressionEvent(
        slate_id="s1", visitor_id="ada", items=("book", "pen"), shown_at_ms=START_MS, policy="p", arm="a",
        propensities=(1.0, 1.0), model_version="m", degraded=(),
    )  # fmt: skip
    shown = (ImpressionRecord(slate, stamp(START_MS)),)
    stores = stored(log)
    stores.publish(log, CUTOFF_MS, shown)
    assert parity(stores, log, impressions=shown).mismatches == 0
    stores.changes["item", "book", "history_clicked"] = 0
    found = parity(stores, log, impressions=shown)
    assert both(found, "history_clicked", "book") == (1, 0)
    assert named(found, "click_through_rate", "book").actual < named(found, "click_through_rate", "book").expected


# --- what is not a fault ---


SHORT = Policies(bucket=BucketPolicy(period_ms=PERIOD_MS, kept=3, dedup=1))
SILENCE_MS = 7 * PERIOD_MS


def test_a_key_that_was_silent_until_its_state_went_begins_anew_and_is_told_as_a_gap() -> None:
    before, after = visits(count=2), [record("late", received_at_ms=START_MS + SILENCE_MS + 40_000, offset=9)]
    stores = stored(after, SHORT)
    found = parity(stores, [*before, *after], SHORT)
    assert (found.mismatches, found.history_gaps) == (0, 2)


def test_a_key_that_was_silent_for_less_must_have_all_its_buckets() -> None:
    before, after = visits(count=2), [record("late", received_at_ms=START_MS + SILENCE_MS - 1, offset=9)]
    stores = stored(after, SHORT)
    assert both(parity(stores, [*before, *after], SHORT), "interactions") == (3, 1)


def test_a_rebuilt_stream_has_only_what_batch_does_not_cover() -> None:
    log = visits(count=12)
    stores = stored(log[6:])
    stores.publish(log, START_MS + 5 * PERIOD_MS)
    owed = Owed(rebuilt_ms=START_MS + 4 * PERIOD_MS)
    found = parity(stores, log, owed=owed)
    assert (found.mismatches, found.history_gaps) == (0, 0)
    assert parity(stores, log).mismatches > 0  # nothing was let go so early, that a session may lack it


def test_features_that_are_newer_than_a_bucket_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    log = visits()
    stores = stored(log)
    for row in (stores.row("visitor", "ada"), stores.row("item", "book")):
        assert row is not None
        row.buckets[0].generation = 0
    found = parity(stores, log)
    assert (found.mismatches, found.incomplete) == (0, 2)


@pytest.mark.parametrize(
    ("left", "right", "is_equal"),
    [
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.0 + 1e-8, False),
        ([1.0, 2.0], (1.0, 2.0 + 1e-12), True),
        ([1], [1, 2], False),
        (10**18, 10**18 + 1, False),
        (None, 0, False),
        ("a", "b", False),
    ],
)
def test_floats_agree_almost_and_all_else_exactly(left: Any, right: Any, is_equal: bool) -> None:
    assert agrees(left, right) is is_equal
