from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.aggregates import BucketRate, Histogram, KMinValues, LastN, MinMax, Sum, Windowed
from domain.aggregates.distinct import hash_of
from domain.aggregates.histogram import lowest_keys
from domain.facts import Fact
from domain.features import AGGREGATED, GENERATION, Entity, Feature, column_names, features_of
from domain.merge import merge_cells, stream_cells
from domain.policies import AdmissionPolicy, BucketPolicy, Policies
from domain.rates import rate_with_prior
from domain.reference import LogRecord, admitted, facts_by_key, merged_values, timeline, totals
from domain.rows import Row, decode_row, encode_row
from domain.states import Admitted, ItemState, VisitorState
from domain.timeline import Timeline
from schemas.errors import RejectedEvent
from schemas.events import KINDS, InteractionContext
from tests.builders import START_MS, fact, record

PERIOD_MS = 60_000
POLICIES = Policies(bucket=BucketPolicy(PERIOD_MS, kept=8, dedup=1), admission=AdmissionPolicy(admitted_max=6))

contexts = st.builds(
    InteractionContext,
    categories=st.lists(st.sampled_from("uvwxyz"), max_size=3).map(tuple),
    utc_offset_min=st.integers(-840, 840),
    source=st.sampled_from((None, "critic", "app")),
    weight=st.one_of(st.none(), st.floats(0.001, 10)),
)
facts = st.lists(
    st.builds(
        fact,
        st.uuids().map(str),
        received_at_ms=st.integers(START_MS, START_MS + PERIOD_MS - 1),
        at_ms=st.integers(START_MS - 90_000, START_MS + PERIOD_MS),
        item=st.sampled_from("ab"),
        visitor=st.sampled_from("uvw"),
        kind=st.sampled_from(KINDS),
        value=st.one_of(st.none(), st.floats(-1e9, 1e9), st.floats(0, 5)),
        context=contexts,
    ),
    max_size=12,
)


def fold(feature: Feature, found: list[Fact]) -> Any:
    state = feature.aggregate.zero()
    for one in found:
        state = feature.aggregate.add(state, one, POLICIES.bucket)
    return state


buckets = st.lists(facts, max_size=4)


def total_of(feature: Feature, parts: list[list[Fact]]) -> Any:
    """The total of successive buckets."""
    total = feature.aggregate.nothing()
    for number, part in enumerate(parts):
        total = feature.aggregate.extend(total, fold(feature, part), START_MS + number * PERIOD_MS)
    return total


NARROW = Feature("narrow", "visitor", Histogram("category", keys_max=2), "more keys than it may keep", "facts")
FEW = Feature("few", "visitor", KMinValues("visitor_id", k=2), "more members than it may keep", "visitors")
NEWEST = Feature("newest", "visitor", LastN(1), "more items than it may keep", "items")
MINUTES = Feature("minutes", "visitor", Windowed(Sum(), (PERIOD_MS, 3 * PERIOD_MS)), "short windows", "facts")
TIGHT = (NARROW, FEW, NEWEST, MINUTES)
"""With bounds that a small example reaches."""


FEATURES = (*AGGREGATED, *TIGHT)


class TestEveryFeature:
    """Facts are generated once for all features: that is what takes long."""

    @given(found=facts, cut=st.integers(0, 12))
    def test_the_merge_of_parts_is_the_fold_of_the_whole(self, found: list[Fact], cut: int) -> None:
        for feature in FEATURES:
            whole, parts = fold(feature, found), (fold(feature, found[:cut]), fold(feature, found[cut:]))
            assert feature.aggregate.merge(*parts) == whole, feature.name
            assert feature.aggregate.merge(*reversed(parts)) == whole, feature.name

    @given(found=facts, seed=st.integers())
    def test_order_does_not_matter(self, found: list[Fact], seed: int) -> None:
        shuffled = found[:]
        Random(seed).shuffle(shuffled)
        for feature in FEATURES:
            assert fold(feature, shuffled) == fold(feature, found), feature.name

    @given(found=facts)
    def test_a_state_and_a_total_survive_their_columns(self, found: list[Fact]) -> None:
        for feature in FEATURES:
            aggregate, state = feature.aggregate, fold(feature, found)
            assert aggregate.unpack_state(aggregate.pack_state(state)) == state, feature.name
            total = aggregate.extend(aggregate.nothing(), state, START_MS)
            assert aggregate.unpack_total(aggregate.pack_total(total)) == total, feature.name

    @given(parts=buckets, cut=st.integers(0, 4))
    def test_a_total_that_was_stored_at_a_cutoff_goes_on_as_if_it_had_not_been(
        self, parts: list[list[Fact]], cut: int
    ) -> None:
        for feature in FEATURES:
            aggregate = feature.aggregate
            through = stored = aggregate.nothing()
            for number, part in enumerate(parts):
                if number == cut:
                    stored = aggregate.unpack_total(aggregate.pack_total(stored))
                state, start_ms = fold(feature, part), START_MS + number * PERIOD_MS
                through, stored = aggregate.extend(through, state, start_ms), aggregate.extend(stored, state, start_ms)
            assert aggregate.pack_total(stored) == aggregate.pack_total(through), feature.name

    @given(parts=buckets)
    def test_a_bucket_of_a_zero_state_changes_nothing(self, parts: list[list[Fact]]) -> None:
        later_ms = START_MS + len(parts) * PERIOD_MS
        for feature in FEATURES:
            aggregate, total = feature.aggregate, total_of(feature, parts)
            extended = aggregate.extend(total, aggregate.zero(), later_ms)
            assert aggregate.pack_total(extended) == aggregate.pack_total(total), feature.name

    @given(found=facts)
    def test_a_fact_of_a_kind_that_is_not_named_changes_nothing(self, found: list[Fact]) -> None:
        for feature in FEATURES:
            kinds = feature.aggregate.kinds
            named = [one for one in found if not kinds or one.kind in kinds]
            assert fold(feature, named) == fold(feature, found), feature.name


@given(found=facts)
def test_the_bounded_monoids_keep_what_a_naive_look_at_all_facts_finds(found: list[Fact]) -> None:
    hashes = sorted({hash_of(one.visitor_id) for one in found})
    assert fold(FEW, found) == hashes[:2]
    shown = sorted((one.occurred_at_ms, one.item_id, one.kind) for one in found)
    newest = sorted({item: (at_ms, item, kind) for at_ms, item, kind in shown}.values())
    for feature, kept in ((Feature("all", "visitor", LastN(9), "", ""), newest), (NEWEST, newest[-1:])):
        columns = feature.aggregate.pack_state(fold(feature, found))
        assert list(zip(*columns, strict=True)) == kept
    times = [one.occurred_at_ms for one in found]
    bounds = MinMax("occurred_at_ms")
    assert bounds.finish(fold(Feature("b", "visitor", bounds, "", ""), found), 0) == (
        min(times, default=0),
        max(times, default=0),
    )


@given(parts=buckets, later=st.integers(0, 5 * PERIOD_MS))
def test_a_window_is_the_facts_of_the_buckets_that_start_within_it(parts: list[list[Fact]], later: int) -> None:
    as_of_ms = START_MS + max(len(parts) - 1, 0) * PERIOD_MS + later
    starts = [START_MS + number * PERIOD_MS for number, part in enumerate(parts) for _ in part]
    windows = [sum(as_of_ms - width < start <= as_of_ms for start in starts) for width in (PERIOD_MS, 3 * PERIOD_MS)]
    assert MINUTES.aggregate.finish(total_of(MINUTES, parts), as_of_ms) == (len(starts), *windows)


@given(parts=buckets)
def test_a_bucket_rate_counts_the_buckets_with_facts_and_those_that_reach_its_threshold(
    parts: list[list[Fact]],
) -> None:
    binge = BucketRate(Sum(), at_least=3, prior_rate=0.2, prior_weight=5)
    total = total_of(Feature("binge", "visitor", binge, "", ""), parts)
    reached = sum(len(part) >= 3 for part in parts)
    assert binge.finish(total, 0) == (rate_with_prior(reached, sum(map(bool, parts)), 0.2, 5),)


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
    """A log of several visitors and buckets, with duplicates, disorder, floods and some that must not personalise.

    Its records are in the order in which the stream takes them, so that the partitions of a visitor interleave.
    """
    random = Random(draw(st.integers()))
    received_at_ms, log = START_MS, []
    for offset in range(draw(st.integers(1, 60))):
        received_at_ms += random.choice((0, 10, 3_000, 25_000))
        log.append(
            record(
                f"e{random.randrange(30)}",
                received_at_ms=received_at_ms,
                partition=random.choice((0, 0, 0, 1)),
                offset=offset,
                visitor=random.choice("uv"),
                item=random.choice("abc"),
                kind=random.choice(KINDS),
                at_ms=received_at_ms - random.choice((0, 5, 40_000, 10**8)),
                value=random.choice((None, random.random(), 5 * random.random(), 1e6)),
                personalise=random.random() > 0.1,
                context=InteractionContext(
                    categories=tuple(random.sample("xyz", random.randrange(3))),
                    utc_offset_min=random.choice((-90, 0, 540)),
                    source=random.choice((None, None, "critic")),
                    weight=random.choice((None, 0.5, 2.0)),
                ),
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
            assert merged["incomplete"] == []


def batch_cells(entity: Entity, covered: list[Fact], cutoff_ms: int) -> dict[str, Any]:
    """The row that a batch layer would publish at a cutoff."""
    found = totals(entity, covered, POLICIES)
    cells: dict[str, Any] = {"cutoff_ms": cutoff_ms, "history_generation": GENERATION}
    for feature in features_of(entity):
        packed = feature.aggregate.pack_total(found[feature.name])
        cells.update(zip(column_names(feature.total_columns()), packed, strict=True))
    return cells


@given(logs())
def test_the_streams_timeline_is_the_logs_newest_visits(log: list[LogRecord]) -> None:
    found = facts_by_key("visitor", log, POLICIES)
    for key, state in streamed(log)[0].items():
        assert Timeline(tuple(state.row.visits)) == timeline(found.get(key, []), POLICIES)
