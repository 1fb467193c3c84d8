from __future__ import annotations

import pytest

from domain.admission import screen
from domain.facts import Stamp, identity
from domain.merge import session_cells, stream_cells
from domain.policies import AdmissionPolicy, BucketPolicy, Policies
from domain.reference import LogRecord, admitted
from domain.rows import encode_row
from domain.states import Admitted, Duplicate, ItemState, VisitorState, encoded_row
from schemas.errors import Reason, RejectedEvent
from schemas.events import encode
from tests.builders import MINUTE_BUCKETS, START_MS, fact, interaction, record, stamp

MINUTE = 60_000
ROW_BYTES_MAX = 1_000_000


def new_visitor(policies: Policies = MINUTE_BUCKETS) -> VisitorState:
    return VisitorState.load(None, policies)


def counted(state: VisitorState) -> int:
    return sum(stream_cells("visitor", state.row)["recent_interactions"])


def test_the_first_offset_of_an_event_wins_and_the_second_is_a_duplicate() -> None:
    state = new_visitor()
    assert isinstance(state.observe(interaction("e"), stamp(offset=1)), Admitted)
    assert isinstance(state.observe(interaction("e", item="other"), stamp(offset=2)), Duplicate)
    assert counted(state) == 1
    assert state.row.offsets == {0: 2}


@pytest.mark.parametrize(("buckets_later", "expected"), [(0, Duplicate), (1, Duplicate), (2, Admitted)])
def test_an_event_is_remembered_for_its_own_and_the_previous_bucket(buckets_later: int, expected: type) -> None:
    state = new_visitor()
    state.observe(interaction("e"), stamp(offset=1))
    assert isinstance(state.observe(interaction("e"), stamp(START_MS + buckets_later * MINUTE, offset=2)), expected)


def test_a_duplicate_is_remembered_too() -> None:
    state = new_visitor()
    outcomes = [state.observe(interaction("e"), stamp(START_MS + n * MINUTE, offset=n)) for n in (0, 1, 2, 4)]
    assert [type(outcome) for outcome in outcomes] == [Admitted, Duplicate, Duplicate, Admitted]


@pytest.mark.parametrize("first", range(5))
def test_a_state_that_begins_a_bucket_before_the_cutoff_admits_what_the_whole_log_admits(first: int) -> None:
    log = [record("e", received_at_ms=START_MS + n * MINUTE, offset=n) for n in (0, 1, 2, 3, 4, 6, 7)]
    rebuilt = new_visitor()
    late = [one for one in log if one.stamp.offset >= first]
    outcomes = {one.stamp.offset: isinstance(rebuilt.observe(one.event, one.stamp), Admitted) for one in late}
    expected = {one.stamp.offset for one in admitted(log, MINUTE_BUCKETS)}
    assert {offset for offset, counts in outcomes.items() if counts and offset > first} == {
        offset for offset in expected if offset > first
    }


def test_each_partition_is_admitted_by_itself_so_that_their_interleaving_does_not_show() -> None:
    log = [
        LogRecord(interaction("e"), Stamp(START_MS, partition=1, offset=5)),
        LogRecord(interaction("e"), Stamp(START_MS + MINUTE, partition=0, offset=9)),
    ]
    for order in (log, log[::-1]):
        state = new_visitor()
        assert all(isinstance(state.observe(one.event, one.stamp), Admitted) for one in order)
    assert len(admitted(log, MINUTE_BUCKETS)) == 2


def test_duplicates_cannot_fill_the_memory_beyond_the_flood_limit() -> None:
    state = new_visitor(Policies(bucket=MINUTE_BUCKETS.bucket, admission=AdmissionPolicy(admitted_max=2)))
    state.observe(interaction("a"), stamp(offset=1))
    state.observe(interaction("b"), stamp(offset=2))
    later = START_MS + MINUTE
    assert isinstance(state.observe(interaction("a"), stamp(later, offset=3)), Duplicate)
    state.observe(interaction("c"), stamp(later, offset=4))
    assert isinstance(state.observe(interaction("b"), stamp(later, offset=5)), Duplicate)
    assert isinstance(state.observe(interaction("b"), stamp(later + MINUTE, offset=6)), Admitted)


def test_the_exact_flood_limit_is_admitted_and_one_beyond_is_rejected() -> None:
    state = new_visitor(Policies(bucket=MINUTE_BUCKETS.bucket, admission=AdmissionPolicy(admitted_max=2)))
    state.observe(interaction("a"), stamp(offset=1))
    state.observe(interaction("b"), stamp(offset=2))
    with pytest.raises(RejectedEvent) as caught:
        state.observe(interaction("c"), stamp(offset=3))
    assert caught.value.reason is Reason.FLOOD
    assert (counted(state), state.row.offsets) == (2, {0: 3})
    assert isinstance(state.observe(interaction("d"), stamp(START_MS + MINUTE, offset=4)), Admitted)


def test_ids_are_hashed_whole_so_that_shared_prefixes_do_not_collide() -> None:
    assert identity("0123456789abcdef-1") != identity("0123456789abcdef-2")
    assert len(identity("x")) == 8


def test_what_must_not_personalise_counts_for_the_item_and_not_for_the_visitor() -> None:
    state = new_visitor()
    outcome = state.observe(interaction("e", personalise=False), stamp(offset=1))
    assert isinstance(outcome, Admitted)
    assert (state.row.buckets, state.row.visits) == ([], [])
    assert session_cells(state.row, MINUTE_BUCKETS) is None
    assert isinstance(state.observe(interaction("e"), stamp(offset=2)), Duplicate)


def test_the_oldest_bucket_is_let_go_and_that_is_noted() -> None:
    policies = Policies(bucket=BucketPolicy(period_ms=MINUTE, kept=2, dedup=1))
    state = new_visitor(policies)
    for n in range(4):
        state.observe(interaction(f"e{n}"), stamp(START_MS + n * MINUTE, offset=n))
    assert [bucket.start_ms for bucket in state.row.buckets] == [START_MS + 2 * MINUTE, START_MS + 3 * MINUTE]
    assert state.row.dropped_through_ms == START_MS + 2 * MINUTE


def test_a_late_event_counts_in_its_bucket_and_is_reported() -> None:
    state = new_visitor()
    state.observe(interaction("new", at_ms=START_MS), stamp(offset=1))
    outcome = state.observe(interaction("old", at_ms=START_MS - 10**9), stamp(offset=2))
    assert isinstance(outcome, Admitted)
    assert outcome.is_late
    assert (counted(state), len(state.row.visits)) == (2, 1)


def test_an_item_remembers_the_newest_offset_of_every_partition() -> None:
    state = ItemState.load(None, MINUTE_BUCKETS)
    for offset, partition in ((5, 0), (9, 1), (4, 0)):
        state.add(fact(f"e{offset}"), Stamp(START_MS, partition, offset))
    assert state.row.offsets == {0: 5, 1: 9}
    assert ItemState.load(state.dump(), MINUTE_BUCKETS).row == state.row


def test_the_row_that_is_cut_out_of_a_dumped_state_is_the_encoded_row() -> None:
    state = new_visitor()
    for number in range(3):
        state.observe(interaction(f"e{number}", at_ms=START_MS + number), stamp(offset=number))
        assert encoded_row(state.dump()) == encode_row(state.row)


def test_live_records_are_admitted_whatever_was_imported() -> None:
    live = record("same", received_at_ms=START_MS, offset=0)
    imported = LogRecord(interaction("same", at_ms=START_MS - 1), stamp(START_MS - 1, partition=-1))
    assert admitted([imported, live], MINUTE_BUCKETS) == [imported, live]
    assert isinstance(new_visitor().observe(live.event, live.stamp), Admitted)


def test_the_largest_row_that_a_hostile_visitor_can_make_fits_into_a_kafka_record() -> None:
    state = new_visitor()
    labels = [f"{number:04d}" + "\U0001f525" * 60 for number in range(2_000)]
    for number in range(8 * 130):
        event = interaction(
            f"{number:05d}" + "\U0001f525" * 123,
            item=f"{number:05d}" + "\U0001f525" * 123,
            at_ms=START_MS + number,
            categories=tuple(labels[(number * 16 + index) % 2_000] for index in range(16)),
        )
        state.observe(event, stamp(START_MS + number // 130 * MINUTE, offset=number))
    assert len(encode_row(state.row)) < ROW_BYTES_MAX


def test_a_key_that_is_not_the_visitor_is_refused() -> None:
    with pytest.raises(RejectedEvent) as caught:
        screen("someone", encode(interaction()), stamp(), AdmissionPolicy())
    assert caught.value.reason is Reason.KEY


def test_the_exact_tolerance_into_the_future_passes_and_one_beyond_does_not() -> None:
    policy = AdmissionPolicy(future_max_ms=100)
    assert screen("ada", encode(interaction(at_ms=START_MS + 100)), stamp(), policy).event_id == "e1"
    with pytest.raises(RejectedEvent) as caught:
        screen("ada", encode(interaction(at_ms=START_MS + 101)), stamp(), policy)
    assert caught.value.reason is Reason.FUTURE
