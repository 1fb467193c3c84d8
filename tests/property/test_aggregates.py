from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.aggregates import Histogram
from domain.aggregates.histogram import lowest_keys
from domain.facts import Fact
from domain.features import AGGREGATED, Entity, Feature, column_names, features_of
from domain.merge import merge_cells, stream_cells
from domain.policies import AdmissionPolicy, BucketPolicy, Policies
from domain.reference import LogRecord, admitted, facts_by_key, merged_values, timeline, totals
from domain.states import Admitted, ItemState, Row, VisitorState, decode_row, encode_row
from domain.timeline import Timeline
from schemas.errors import RejectedEvent
from schemas.events import KINDS
from tests.builders import START_MS, fact, record

PERIOD_MS = 60_000
POLICIES = Policies(bucket=BucketPolicy(PERIOD_MS, kept=8, dedup=1), admission=AdmissionPolicy(admitted_max=6))

facts = st.lists(
    st.builds(
        fact,
        st.uuids().map(str),
        received_at_ms=st.integers(START_MS, START_MS + PERIOD_MS - 1),
        at_ms=st.integers(START_MS - 90_000, START_MS + PERIOD_MS),
        item=st.sampled_from("ab"),
        kind=st.sampled_from(KINDS),
        value=st.one_of(st.none(), st.floats(-1e6, 1e6)),
        categories=st.lists(st.sampled_from("uvwxyz"), max_size=3).map(tuple),
    ),
    max_size=12,
)


def fold(feature: Feature, found: list[Fact]) -> Any:
    state = feature.aggregate.zero()
    for one in found:
        state = feature.aggregate.add(state, one, POLICIES.bucket)
    return state


NARROW = Feature("narrow", "visitor", Histogram("category", keys_max=2), "more keys than it may keep", "facts")


@pytest.mark.parametrize("feature", [*AGGREGATED, NARROW], ids=lambda feature: feature.name)
class TestEveryFeature:
    @given(found=facts, cut=st.integers(0, 12))
    def test_the_merge_of_parts_is_the_fold_of_the_whole(self, feature: Feature, found: list[Fact], cut: int) -> None:
        parts = fold(feature, found[:cut]), fold(feature, found[cut:])
        assert feature.aggregate.merge(*parts) == fold(feature, found)
        assert feature.aggregate.merge(*reversed(parts)) == fold(feature, found)

    @given(found=facts, seed=st.integers())
    def test_order_does_not_matter(self, feature: Feature, found: list[Fact], seed: int) -> None:
        shuffled = found[:]
        Random(seed).shuffle(shuffled)
        assert fold(feature, shuffled) == fold(feature, found)

    @given(found=facts)
    def test_a_state_and_a_total_survive_their_columns(self, feature: Feature, found: list[Fact]) -> None:
        aggregate = feature.aggregate
        state = fold(feature, found)
        assert aggregate.unpack_state(aggregate.pack_state(state)) == state
        total = aggregate.extend(aggregate.nothing(), state, START_MS)
        assert aggregate.unpack_total(aggregate.pack_total(total)) == total


@given(parts=st.lists(facts, max_size=4), cut=st.integers(0, 4))
def test_a_bounded_histogram_is_exact_for_what_it_keeps_over_any_cut_of_buckets(
    parts: list[list[Fact]], cut: int
) -> None:
    narrow, wide = NARROW.aggregate, Histogram("category", keys_max=100)
    total, everything = narrow.nothing(), wide.nothing()
    for number, part in enumerate(parts):
        if number == cut:
            total = narrow.unpack_total(narrow.pack_total(total))
        total = narrow.extend(total, fold(NARROW, part), START_MS + number * PERIOD_MS)
        whole = fold(Feature("wide", "visitor", wide, "", ""), part)
        everything = wide.extend(everything, whole, START_MS + number * PERIOD_MS)
    assert total == {key: everything[key] for key in lowest_keys(everything, 2)}


@st.composite
def logs(draw: st.DrawFn) -> list[LogRecord]:
    """A log of several visitors and buckets, with duplicates, disorder, floods and some that must not personalise."""
    random = Random(draw(st.integers()))
    received_at_ms, log = START_MS, []
    for offset in range(draw(st.integers(1, 60))):
        received_at_ms += random.choice((0, 10, 3_000, 25_000))
        log.append(
            record(
                f"e{random.randrange(30)}",
                received_at_ms=received_at_ms,
                offset=offset,
                visitor=random.choice("uv"),
                item=random.choice("abc"),
                kind=random.choice(KINDS),
                at_ms=received_at_ms - random.choice((0, 5, 40_000, 10**8)),
                value=random.choice((None, random.random())),
                personalise=random.random() > 0.1,
                categories=tuple(random.sample("xyz", random.randrange(3))),
            )
        )
    return log


def streamed(log: list[LogRecord]) -> tuple[dict[str, VisitorState], dict[str, ItemState], int]:
    """What the stream keeps after a log, every state dumped and loaded after every record."""
    visitors: dict[str, bytes] = {}
    items: dict[str, bytes] = {}
    admitted_count = 0
    for one in log:
        state = VisitorState.load(visitors.get(one.event.visitor_id), POLICIES)
        try:
            outcome = state.observe(one.event, one.stamp)
        except RejectedEvent:
            outcome = None
        visitors[one.event.visitor_id] = state.dump()
        if isinstance(outcome, Admitted):
            admitted_count += 1
            item = ItemState.load(items.get(one.event.item_id), POLICIES)
            item.add(outcome.fact, one.stamp)
            items[one.event.item_id] = item.dump()
    return (
        {key: VisitorState.load(blob, POLICIES) for key, blob in visitors.items()},
        {key: ItemState.load(blob, POLICIES) for key, blob in items.items()},
        admitted_count,
    )


@given(logs())
def test_the_stream_admits_exactly_what_the_reference_admits(log: list[LogRecord]) -> None:
    assert streamed(log)[2] == len(admitted(log, POLICIES))


@given(logs(), st.integers(0, 30))
def test_batch_below_any_cutoff_and_stream_above_it_equal_the_whole_log(log: list[LogRecord], buckets: int) -> None:
    visitors, items, _ = streamed(log)
    cutoff_ms = START_MS + buckets * PERIOD_MS
    rows: list[tuple[Entity, str, Row]] = [("visitor", key, state.row) for key, state in visitors.items()]
    rows += [("item", key, state.row) for key, state in items.items()]
    for entity, key, row in rows:
        facts_of_key = facts_by_key(entity, log, POLICIES).get(key, [])
        history = batch_cells(entity, [one for one in facts_of_key if one.received_at_ms < cutoff_ms], cutoff_ms)
        merged = merge_cells(entity, history, stream_cells(entity, decode_row(encode_row(row))))
        if not merged["history_gap"]:
            expected = merged_values(entity, facts_of_key, merged["as_of_ms"], POLICIES)
            assert {name: merged[name] for name in expected} == expected


def batch_cells(entity: Entity, covered: list[Fact], cutoff_ms: int) -> dict[str, Any]:
    """The row that a batch layer would publish at a cutoff."""
    found = totals(entity, covered, POLICIES)
    cells: dict[str, Any] = {"cutoff_ms": cutoff_ms}
    for feature in features_of(entity):
        packed = feature.aggregate.pack_total(found[feature.name])
        cells.update(zip(column_names(feature.total_columns()), packed, strict=True))
    return cells


@given(logs())
def test_the_streams_timeline_is_the_logs_newest_visits(log: list[LogRecord]) -> None:
    found = facts_by_key("visitor", log, POLICIES)
    for key, state in streamed(log)[0].items():
        assert Timeline(tuple(state.row.visits)) == timeline(found.get(key, []), POLICIES)
