"""A feature is added while states, rows and batch rows from before are still there: nothing is wiped, nothing lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from domain import features, merge, rows
from domain.aggregates import Sum
from domain.derived import Derived
from domain.features import Feature, features_of
from domain.merge import merge_cells, stream_cells
from domain.reference import LogRecord, facts_by_key, totals
from domain.rows import Row, decode_row, encode_row
from domain.states import VisitorState
from tests.builders import MINUTE_BUCKETS, START_MS, record

MINUTE = 60_000
LIKES = Feature("likes", "visitor", Sum("one", ("like",)), "How often the visitor liked.", "likes", since=2)
LIKED = Derived("liked", "visitor", ("likes",), Sum().value_columns[0].type, lambda values: values["likes"] > 0, "", "")


def log_of(minutes: range) -> list[LogRecord]:
    """A like a minute."""
    return [record(f"e{n}", kind="like", received_at_ms=START_MS + n * MINUTE, offset=n) for n in minutes]


@pytest.fixture
def old_blob() -> bytes:
    """The state after the minutes 0 to 2, by the catalogue as it was."""
    return observed(None, log_of(range(3)))


@pytest.fixture
def new_catalogue(old_blob: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """From here on the catalogue has one more feature, and one that follows from it."""
    monkeypatch.setitem(features._OF, "visitor", (*features_of("visitor"), LIKES))
    monkeypatch.setitem(features._DERIVED_OF, "visitor", (*features._DERIVED_OF["visitor"], LIKED))
    monkeypatch.setattr(merge, "GENERATION", 2)
    monkeypatch.setattr(rows, "GENERATION", 2)
    features.folds_of.cache_clear()
    rows.adders_of.cache_clear()
    yield
    features.folds_of.cache_clear()
    rows.adders_of.cache_clear()


def observed(blob: bytes | None, log: list[LogRecord]) -> bytes:
    state = VisitorState.load(blob, MINUTE_BUCKETS)
    for one in log:
        state.observe(one.event, one.stamp)
    return state.dump()


def row_of(blob: bytes) -> Row:
    return decode_row(encode_row(VisitorState.load(blob, MINUTE_BUCKETS).row))


def batch_row(log: list[LogRecord], cutoff_ms: int, generation: int) -> dict[str, Any]:
    facts = [one for one in facts_by_key("visitor", log, MINUTE_BUCKETS)["ada"] if one.received_at_ms < cutoff_ms]
    found = totals("visitor", facts, MINUTE_BUCKETS)
    cells: dict[str, Any] = {"cutoff_ms": cutoff_ms, "history_generation": generation}
    for feature in features_of("visitor"):
        if feature.since <= generation:
            cells.update(zip(feature.total_names, feature.aggregate.pack_total(found[feature.name]), strict=True))
    return cells


@pytest.mark.usefixtures("new_catalogue")
class TestAFeatureThatWasAdded:
    def test_counts_from_then_on_in_the_state_that_was_kept(self, old_blob: bytes) -> None:
        cells = stream_cells("visitor", row_of(observed(old_blob, log_of(range(3, 5)))))
        assert cells["recent_likes"] == [0, 0, 0, 1, 1]
        assert cells["recent_interactions"] == [1, 1, 1, 1, 1]

    def test_is_named_as_incomplete_with_all_that_follows_from_it(self, old_blob: bytes) -> None:
        merged = merge_cells("visitor", None, stream_cells("visitor", row_of(observed(old_blob, log_of(range(3, 5))))))
        assert merged["incomplete"] == ["likes", "liked"]
        assert merged["interactions"] == 5

    def test_is_complete_once_batch_has_covered_the_buckets_from_before(self, old_blob: bytes) -> None:
        recent = stream_cells("visitor", row_of(observed(old_blob, log_of(range(3, 5)))))
        history = batch_row(log_of(range(5)), START_MS + 3 * MINUTE, generation=2)
        merged = merge_cells("visitor", history, recent)
        assert (merged["incomplete"], merged["likes"], merged["liked"]) == ([], 5, True)

    def test_is_incomplete_while_the_batch_row_is_of_the_catalogue_from_before(self, old_blob: bytes) -> None:
        recent = stream_cells("visitor", row_of(observed(old_blob, log_of(range(3, 5)))))
        history = batch_row(log_of(range(5)), START_MS + 3 * MINUTE, generation=1)
        merged = merge_cells("visitor", history, recent)
        assert (merged["incomplete"], merged["interactions"]) == (["likes", "liked"], 5)

    def test_is_missing_from_a_row_that_the_writer_stored_before(self, old_blob: bytes) -> None:
        stored = stream_cells("visitor", row_of(old_blob))
        before = {name: cell for name, cell in stored.items() if "likes" not in name}
        merged = merge_cells("visitor", None, before)
        assert (merged["incomplete"], merged["interactions"]) == (["likes", "liked"], 3)

    def test_is_whole_after_a_rebuild(self) -> None:
        merged = merge_cells("visitor", None, stream_cells("visitor", row_of(observed(None, log_of(range(5))))))
        assert (merged["incomplete"], merged["likes"]) == ([], 5)


def test_a_feature_that_was_removed_is_passed_over() -> None:
    row = rows.empty_row()
    row.buckets = [rows.BucketState(START_MS, {"interactions": 1, "removed": [1, 2]})]
    assert merge_cells("visitor", None, stream_cells("visitor", decode_row(encode_row(row))))["interactions"] == 1
