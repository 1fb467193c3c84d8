from __future__ import annotations

import math

from domain.aggregates import DecayedSum, Histogram, KMinValues, LastN, MinMax, Sum, Windowed
from domain.aggregates.decay import SCALE, rescaled
from domain.aggregates.histogram import KEYS_MAX
from domain.aggregates.sums import INT64_MAX
from domain.policies import DAY_MS, HOUR_MS, BucketPolicy
from schemas.events import InteractionContext
from tests.builders import START_MS, fact

DAILY = BucketPolicy()


def test_a_sum_counts_only_the_kinds_it_is_asked_for() -> None:
    spend = Sum("value_micros", kinds=("purchase",))
    state = spend.add(spend.zero(), fact(kind="purchase", value=12.5), DAILY)
    assert spend.add(state, fact(kind="view", value=99.0), DAILY) == 12_500_000


def test_a_value_is_rounded_half_even_to_micros() -> None:
    assert [fact(value=value).value_micros for value in (0.0000005, 0.0000015, -0.0000025)] == [0, 2, -2]


def test_a_fact_at_the_start_of_a_bucket_halves_in_one_half_life() -> None:
    decayed = DecayedSum(DAY_MS)
    total = decayed.extend(decayed.nothing(), decayed.add(0, fact(), DAILY), START_MS)
    assert decayed.finish(total, START_MS) == (1.0,)
    assert decayed.finish(total, START_MS + DAY_MS) == (0.5,)


def test_a_later_fact_of_a_bucket_weighs_more_and_decays_from_its_own_minute() -> None:
    decayed = DecayedSum(DAY_MS)
    noon = fact(received_at_ms=START_MS + 12 * HOUR_MS)
    total = decayed.extend(decayed.nothing(), decayed.add(0, noon, DAILY), START_MS)
    assert math.isclose(decayed.finish(total, START_MS + 12 * HOUR_MS)[0], 1.0, abs_tol=2 / SCALE)
    assert math.isclose(decayed.finish(total, START_MS + 36 * HOUR_MS)[0], 0.5, abs_tol=2 / SCALE)


def test_weights_are_rescaled_half_even() -> None:
    assert [rescaled(weight, 1, 1) for weight in (1, 3, 5)] == [0, 2, 2]


def test_a_histogram_ranks_by_value_then_key_and_cuts_only_what_is_finished() -> None:
    histogram = Histogram("category", top=2)
    state = histogram.zero()
    for name in ("b", "a", "c", "c"):
        state = histogram.add(state, fact(categories=(name,)), DAILY)
    total = histogram.extend(histogram.nothing(), state, START_MS)
    assert histogram.finish(total, START_MS) == (["c", "a"], [2, 1])
    assert histogram.pack_total(total) == (["a", "b", "c"], [1, 1, 2])


def test_a_fact_without_categories_counts_as_unknown() -> None:
    histogram = Histogram("category")
    assert histogram.add({}, fact(), DAILY) == {"unknown": 1}


def test_a_category_named_twice_counts_once() -> None:
    histogram = Histogram("category")
    assert histogram.add({}, fact(categories=("a", "a")), DAILY) == {"a": 1}


def test_the_last_n_are_ordered_by_when_they_happened() -> None:
    last = LastN(2)
    state = last.zero()
    for event_id, at_ms in (("late", 3), ("early", 1), ("middle", 2)):
        state = last.add(state, fact(event_id, item=event_id, at_ms=START_MS + at_ms), DAILY)
    assert last.finish(last.extend(last.nothing(), state, START_MS), START_MS)[0] == ["middle", "late"]


def test_the_local_hour_follows_the_visitors_offset() -> None:
    assert fact(context=InteractionContext(utc_offset_min=-60)).local_hour == 23
    assert fact(context=InteractionContext(utc_offset_min=90)).local_hour == 1


def test_a_sum_saturates_instead_of_leaving_its_64_bits() -> None:
    spend = Sum("value_micros")
    full = INT64_MAX - 1
    assert spend.extend(full, 5, START_MS) == spend.merge(full, 5) == INT64_MAX
    assert spend.merge(-full, -5) == -INT64_MAX
    assert spend.add(full, fact(value=1.0), DAILY) == INT64_MAX


def test_a_sender_of_ever_new_categories_does_not_grow_the_state_without_bound() -> None:
    histogram = Histogram("category")
    state = histogram.zero()
    for number in range(500):
        state = histogram.add(state, fact(categories=(f"c{number}",)), DAILY)
    assert len(state) == KEYS_MAX


def test_a_decayed_sum_saturates_too() -> None:
    decayed = DecayedSum(DAY_MS)
    assert decayed.extend((INT64_MAX, START_MS), 5, START_MS) == (INT64_MAX, START_MS)
    assert decayed.merge(INT64_MAX, 5) == INT64_MAX


def test_the_bounds_of_no_facts_are_zero() -> None:
    bounds = MinMax("value_micros", kinds=("purchase",))
    assert bounds.finish(bounds.add(bounds.zero(), fact(value=3.0), DAILY), START_MS) == (0, 0)
    paid = bounds.add(bounds.zero(), fact(kind="purchase", value=3.0), DAILY)
    assert bounds.finish(bounds.add(paid, fact(kind="purchase", value=-1.0), DAILY), 0) == (-1_000_000, 3_000_000)


def test_distinct_members_are_exact_below_k_and_close_above() -> None:
    distinct = KMinValues("item_id", k=64)
    state = distinct.zero()
    for number in range(63):
        state = distinct.add(distinct.add(state, fact(item=f"i{number}"), DAILY), fact(item=f"i{number}"), DAILY)
    assert distinct.finish(state, START_MS) == (63.0,)
    for number in range(63, 10_000):
        state = distinct.add(state, fact(item=f"i{number}"), DAILY)
    assert len(state) == 64
    assert math.isclose(distinct.finish(state, START_MS)[0], 10_000, rel_tol=3 * 0.13)


def test_the_last_distinct_items_show_each_item_once_by_its_newest_act() -> None:
    last = LastN(2)
    state = last.zero()
    for at_ms, item, kind in ((1, "a", "view"), (2, "b", "view"), (3, "a", "play"), (4, "c", "view")):
        state = last.add(state, fact(f"e{at_ms}", item=item, kind=kind, at_ms=START_MS + at_ms), DAILY)
    shown = (["a", "c"], [START_MS + 3, START_MS + 4], ["play", "view"])
    assert last.finish(last.extend(last.nothing(), state, START_MS), START_MS) == shown


def test_a_window_of_a_day_is_todays_bucket_and_of_two_days_yesterdays_too() -> None:
    windowed = Windowed(Histogram("kind"), (DAY_MS, 2 * DAY_MS))
    total = windowed.nothing()
    for day in range(3):
        total = windowed.extend(total, {"view": 10**day}, START_MS + day * DAY_MS)
    last_ms = START_MS + 3 * DAY_MS - 1
    assert windowed.finish(total, last_ms) == (["view"], [111], ["view"], [100], ["view"], [110])
    assert windowed.finish(total, last_ms + 1)[2:] == ([], [], ["view"], [100])
    assert [column.suffix for column in windowed.value_columns][2:] == ["1d_keys", "1d_values", "2d_keys", "2d_values"]


def test_the_local_weekday_is_the_visitors_own() -> None:
    monday = START_MS - (START_MS // DAY_MS + 3) % 7 * DAY_MS
    assert fact(at_ms=monday).local_weekday == 0
    assert fact(at_ms=monday, context=InteractionContext(utc_offset_min=-1)).local_weekday == 6
    assert fact(at_ms=3 * HOUR_MS - 1, context=InteractionContext(utc_offset_min=-840)).local_weekday == 2


def test_only_a_critic_has_a_weight_of_one_unless_it_is_named() -> None:
    critics = [InteractionContext(source="critic", weight=weight) for weight in (None, 2.5, 0.001)]
    assert [fact(context=context).critic_milli for context in critics] == [1_000, 2_500, 1]
    assert fact(context=InteractionContext(weight=2.0)).critic_milli == 0
