"""Many facts at once that are alike, which costs little more than one.

*Alike* are facts of the same kind that were received in the same minute of the same bucket: they weigh the same in
every decayed sum, and are counted under the same kind.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from math import gcd
from typing import Any, Final

from domain.aggregates.algebra import Aggregate
from domain.aggregates.decay import DecayedSum, weights_by_minute
from domain.aggregates.distinct import KMinValues, hash_of
from domain.aggregates.extremes import MinMax
from domain.aggregates.histogram import Histogram
from domain.aggregates.sums import Sum, saturated
from domain.aggregates.windowed import Windowed
from domain.facts import Fact
from domain.policies import MINUTE_MS, BucketPolicy
from domain.quantities import QUANTITIES


def groups_of_alike(facts: Sequence[Fact], policy: BucketPolicy) -> Iterable[Sequence[Fact]]:
    """The facts in groups of alike ones."""
    if len(facts) == 1:
        return (facts,)
    slot_ms = gcd(MINUTE_MS, policy.period_ms)  # within one minute of one bucket, whatever the period
    groups: dict[tuple[int, str], list[Fact]] = {}
    for fact in facts:
        place = (fact.received_at_ms // slot_ms, fact.kind)
        group = groups.get(place)
        if group is None:
            groups[place] = [fact]
        else:
            group.append(fact)
    return groups.values()


def add_alike(aggregate: Aggregate, state: Any, facts: Sequence[Fact], policy: BucketPolicy) -> Any:
    """What adding alike facts one by one, of a kind that changes the state, leads to."""
    add = _ADDS.get(type(aggregate))
    if add is not None:
        return add(aggregate, state, facts, policy)
    for fact in facts:
        state = aggregate.add(state, fact, policy)
    return state


def _add_to_windowed(aggregate: Windowed, state: Any, facts: Sequence[Fact], policy: BucketPolicy) -> Any:
    return add_alike(aggregate.of, state, facts, policy)


def _add_to_sum(aggregate: Sum, state: int, facts: Sequence[Fact], _policy: BucketPolicy) -> int:
    if aggregate.quantity == "one":
        return saturated(state + len(facts))
    quantity_of = QUANTITIES[aggregate.quantity]
    for fact in facts:
        state = saturated(state + quantity_of(fact))
    return state


def _add_to_decayed(aggregate: DecayedSum, state: int, facts: Sequence[Fact], policy: BucketPolicy) -> int:
    minute = facts[0].received_at_ms % policy.period_ms // MINUTE_MS
    return saturated(state + len(facts) * weights_by_minute(aggregate.half_life_ms, policy.period_ms)[minute])


def _add_to_histogram(
    aggregate: Histogram, state: dict[str, int], facts: Sequence[Fact], policy: BucketPolicy
) -> dict[str, int]:
    if aggregate.key == "kind":
        kind = facts[0].kind
        if kind in state or len(state) < aggregate.keys_max:
            total = add_alike(aggregate.of, state.get(kind, 0), facts, policy)
            if total:
                state[kind] = total
            return state
    for fact in facts:
        state = aggregate.add(state, fact, policy)
    return state


def _add_to_distinct(
    aggregate: KMinValues, state: list[int], facts: Sequence[Fact], _policy: BucketPolicy
) -> list[int]:
    members = {fact.item_id if aggregate.member == "item_id" else fact.visitor_id for fact in facts}
    for member in members:
        hashed = hash_of(member)
        place = bisect_left(state, hashed)
        if place < aggregate.k and not (place < len(state) and state[place] == hashed):
            state.insert(place, hashed)
            del state[aggregate.k :]
    return state


def _add_to_extremes(aggregate: MinMax, state: list[int], facts: Sequence[Fact], _policy: BucketPolicy) -> list[int]:
    quantities = [QUANTITIES[aggregate.quantity](fact) for fact in facts]
    return [min(state[0], *quantities), max(state[1], *quantities)]


_ADDS: Final[dict[type, Callable[..., Any]]] = {
    Windowed: _add_to_windowed,
    Sum: _add_to_sum,
    DecayedSum: _add_to_decayed,
    Histogram: _add_to_histogram,
    KMinValues: _add_to_distinct,
    MinMax: _add_to_extremes,
}
