from __future__ import annotations

from typing import Any

from domain.features import column_names, features_of
from domain.merge import merge_cells, stream_cells
from domain.policies import BucketPolicy, Policies
from domain.reference import LogRecord, facts_by_key, totals
from domain.states import VisitorState
from tests.builders import MINUTE_BUCKETS, START_MS, record

MINUTE = 60_000


def stream_of(log: list[LogRecord], policies: Policies = MINUTE_BUCKETS) -> dict[str, Any]:
    state = VisitorState.load(None, policies)
    for one in log:
        state.observe(one.event, one.stamp)
    return stream_cells("visitor", state.row)


def batch_of(log: list[LogRecord], cutoff_ms: int, policies: Policies = MINUTE_BUCKETS) -> dict[str, Any]:
    facts = [one for one in facts_by_key("visitor", log, policies)["ada"] if one.received_at_ms < cutoff_ms]
    found = totals("visitor", facts, policies)
    cells: dict[str, Any] = {"cutoff_ms": cutoff_ms}
    for feature in features_of("visitor"):
        cells.update(
            zip(column_names(feature.total_columns()), feature.aggregate.pack_total(found[feature.name]), strict=True)
        )
    return cells


LOG = [record(f"e{n}", received_at_ms=START_MS + n * MINUTE // 2, offset=n) for n in range(10)]


def test_without_a_batch_row_the_stream_is_all_there_is() -> None:
    merged = merge_cells("visitor", None, stream_of(LOG))
    assert (merged["interactions"], merged["covered_to_ms"], merged["history_gap"]) == (10, 0, 0)


def test_without_a_stream_row_the_batch_is_all_there_is() -> None:
    merged = merge_cells("visitor", batch_of(LOG, START_MS + 2 * MINUTE), None)
    assert (merged["interactions"], merged["as_of_ms"]) == (4, START_MS + 2 * MINUTE)


def test_a_bucket_that_the_batch_row_covers_is_not_counted_twice() -> None:
    for cutoff_ms in range(START_MS, START_MS + 6 * MINUTE, MINUTE):
        history = batch_of(LOG, cutoff_ms) if cutoff_ms > START_MS else None
        assert merge_cells("visitor", history, stream_of(LOG))["interactions"] == 10


def test_an_unknown_visitor_has_zeroes() -> None:
    merged = merge_cells("visitor", None, None)
    assert (merged["interactions"], merged["kinds_keys"], merged["as_of_ms"]) == (0, [], 0)


def test_a_batch_that_is_too_old_for_the_stream_is_a_history_gap() -> None:
    policies = Policies(bucket=BucketPolicy(period_ms=MINUTE, kept=2, dedup=1))
    recent = stream_of(LOG, policies)
    assert merge_cells("visitor", batch_of(LOG, START_MS + 2 * MINUTE, policies), recent)["history_gap"] == 1
    assert merge_cells("visitor", batch_of(LOG, START_MS + 3 * MINUTE, policies), recent)["history_gap"] == 0


def test_features_that_are_merged_alone_have_the_values_that_they_have_among_all() -> None:
    for history in (None, batch_of(LOG, START_MS + 2 * MINUTE)):
        whole = merge_cells("visitor", history, stream_of(LOG))
        for feature in features_of("visitor"):
            alone = merge_cells("visitor", history, stream_of(LOG), {feature.name})
            assert alone.items() <= whole.items()
            assert set(feature.value_names) < alone.keys()
            assert len(alone) == len(feature.value_names) + len(
                ("as_of_ms", "covered_to_ms", "history_gap", "incomplete")
            )
