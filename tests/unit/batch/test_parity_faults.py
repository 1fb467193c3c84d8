"""A rule that is wrong in one layer: parity must find it and name feature, key and both values."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import pytest

import domain.merge
import domain.reference
import domain.rows
from batch.parity_comparer import Owed
from domain.aggregates import Aggregate, DecayedSum, Windowed
from domain.features import Entity, Feature, features_of
from domain.merge import Cells, merge_cells
from domain.policies import DAY_MS, MINUTE_MS, Policies, SessionPolicy
from domain.reference import LogRecord
from tests.builders import MINUTE_BUCKETS, START_MS, interaction, stamp
from tests.unit.batch.parity_by_hand import CUTOFF_MS, PERIOD_MS, both, named, parity, stored, visits


def with_aggregate(monkeypatch: pytest.MonkeyPatch, layer: ModuleType, feature: str, aggregate: Aggregate) -> None:
    """Let one layer compute a feature with another aggregate; the columns stay as they are."""

    def changed(entity: Entity) -> tuple[Feature, ...]:
        return tuple(
            dataclasses.replace(one, aggregate=aggregate) if one.name == feature else one for one in features_of(entity)
        )

    monkeypatch.setattr(layer, "features_of", changed, raising=False)
    if layer is domain.rows:
        monkeypatch.setattr(layer, "folds_of", lambda entity, _: [(one.name, one.aggregate) for one in changed(entity)])
        monkeypatch.setattr(layer, "adders_of", layer.adders_of.__wrapped__)


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
        with_aggregate(stream, domain.rows, "popularity", DecayedSum(half_life_ms + MINUTE_MS))
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
