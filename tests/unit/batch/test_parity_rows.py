"""A row that is lost, late, old or made up is named by parity; one that may be so is not."""

from __future__ import annotations

from typing import Any

import pytest

from batch.parity_comparer import Owed
from batch.parity_findings import agrees
from domain.facts import Stamp
from domain.features import Entity
from domain.impressions import ImpressionRecord
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord
from schemas.events import ImpressionEvent
from tests.builders import START_MS, record, stamp
from tests.unit.batch.parity_by_hand import CUTOFF_MS, PERIOD_MS, both, named, parity, stored, visits

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


def test_an_item_that_only_a_repeated_slate_shows_has_no_batch_row() -> None:
    log, stores, owed = visits(), stored(visits()), Owed(published_ms=CUTOFF_MS)
    book, pen = (
        ImpressionEvent(
            slate_id="s1", visitor_id="ada", items=(item,), shown_at_ms=START_MS, policy="p", arm="a",
            propensities=(1.0,), model_version="m", degraded=(),
        )
        for item in ("book", "pen")
    )  # fmt: skip
    book_first = (ImpressionRecord(book, stamp(offset=1)), ImpressionRecord(pen, stamp(offset=2)))
    pen_first = (ImpressionRecord(book, stamp(offset=2)), ImpressionRecord(pen, stamp(offset=1)))
    stores.publish(log, CUTOFF_MS, book_first)
    assert parity(stores, log, owed=owed, impressions=book_first).mismatches == 0
    stores.publish(log, CUTOFF_MS, pen_first)
    assert both(parity(stores, log, owed=owed, impressions=pen_first), "cutoff_ms", "pen") == (CUTOFF_MS, None)


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


def test_features_that_are_newer_than_a_bucket_are_left_out_and_counted() -> None:
    log = visits()
    stores = stored(log)
    keys: tuple[tuple[Entity, str], ...] = (("visitor", "ada"), ("item", "book"))
    for key in keys:
        row = stores.row(*key)
        assert row is not None
        row.buckets[0].generation = 0
        stores.rows[key] = row
    found = parity(stores, log)
    assert (found.mismatches, found.incomplete) == (0, 2)


def test_a_row_from_before_a_feature_is_right_when_batch_covers_all_its_buckets() -> None:
    log = visits()
    stores = stored(log, cutoff_ms=START_MS + 9 * PERIOD_MS)
    stores.changes["visitor", "ada", "recent_interactions"] = None
    assert parity(stores, log).mismatches == 0


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
