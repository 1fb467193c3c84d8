"""Many facts at once that are alike, which costs little more than one.

*Alike* are facts of the same kind that were received in the same minute of the same bucket: they weigh the same in
every decayed sum, and are counted under the same kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import gcd
from typing import Any

from domain.aggregates.algebra import Aggregate
from domain.aggregates.decay import DecayedSum
from domain.aggregates.histogram import Histogram
from domain.aggregates.sums import Sum, saturated
from domain.aggregates.windowed import Windowed
from domain.facts import Fact
from domain.policies import MINUTE_MS, BucketPolicy

AlikeAdder = Callable[[Any, Sequence[Fact]], Any]


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


def alike_adder(aggregate: Aggregate, period_ms: int) -> AlikeAdder:
    """What adds alike facts, of a kind that changes the state: as `aggregate.adder` would one by one."""
    if isinstance(aggregate, Windowed):
        return alike_adder(aggregate.of, period_ms)
    if isinstance(aggregate, DecayedSum) or (isinstance(aggregate, Sum) and aggregate.quantity == "one"):
        increment = aggregate.increment(period_ms)
        return lambda total, facts: saturated(total + len(facts) * increment(facts[0]))
    if isinstance(aggregate, Histogram) and aggregate.key == "kind":
        return _kind_adder(aggregate, period_ms)
    return _one_by_one(aggregate, period_ms)


def _kind_adder(aggregate: Histogram, period_ms: int) -> AlikeAdder:
    add_of, keys_max = alike_adder(aggregate.of, period_ms), aggregate.keys_max
    add_one_by_one = _one_by_one(aggregate, period_ms)

    def add(state: dict[str, int], facts: Sequence[Fact]) -> Any:
        kind = facts[0].kind
        if kind not in state and len(state) >= keys_max:
            return add_one_by_one(state, facts)
        total = add_of(state.get(kind, 0), facts)
        if total:
            state[kind] = total
        return state

    return add


def _one_by_one(aggregate: Aggregate, period_ms: int) -> AlikeAdder:
    adder = aggregate.adder(period_ms)

    def add(state: Any, facts: Sequence[Fact]) -> Any:
        for fact in facts:
            state = adder(state, fact)
        return state

    return add
