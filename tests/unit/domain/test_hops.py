"""Hops that come to an item together count as if each had come by itself, whatever the feature."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from domain.aggregates.alike import alike_adder, groups_of_alike
from domain.facts import Fact, Stamp
from domain.features import folds_of
from domain.hops import Hop, to_hop
from domain.policies import BucketPolicy, Policies
from domain.states import ItemState
from schemas.events import CRITIC, KINDS, InteractionContext
from tests.builders import START_MS, fact

POLICIES = {
    period_ms: Policies(bucket=BucketPolicy(period_ms=period_ms, kept=3, dedup=1))
    for period_ms in (1_000, 7_000, 60_000, 90_000, 86_400_000)
}


def arrivals(generator: random.Random, count: int) -> list[tuple[Fact, Stamp]]:
    found = []
    for number in range(count):
        at_ms = START_MS + generator.randrange(200_000)
        source = generator.choice((None, CRITIC))
        made = fact(
            f"e{number}",
            received_at_ms=at_ms,
            at_ms=at_ms - generator.choice((0, 5_000, 90_000_000)),
            visitor=f"visitor-{generator.randrange(90)}",
            kind=generator.choice(KINDS),
            value=generator.choice((None, -1.0, 2.5, 4.5, 1e9)),
            context=InteractionContext(categories=("crime",), source=source),
        )
        found.append((made, Stamp(at_ms, generator.randrange(3), number)))
    return found


@pytest.mark.parametrize("period_ms", POLICIES)
@pytest.mark.parametrize("seed", range(4))
def test_a_bundle_of_hops_leads_to_the_same_row_as_its_facts_one_by_one(seed: int, period_ms: int) -> None:
    generator, policies = random.Random(seed), POLICIES[period_ms]
    together, one_by_one = ItemState.load(None, policies), ItemState.load(None, policies)
    for _ in range(40):
        come = arrivals(generator, generator.choice((1, 2, 10, 60)))
        for one, stamp in come:
            one_by_one.add(one, stamp)
        together.add_hops([to_hop(one, stamp) for one, stamp in come])
        together = ItemState.load(together.dump(), policies)
    assert together.row == one_by_one.row


@pytest.mark.parametrize("period_ms", POLICIES)
def test_alike_are_only_facts_of_one_kind_and_one_minute_of_one_bucket(period_ms: int) -> None:
    policy = POLICIES[period_ms].bucket
    facts = [one for one, _ in arrivals(random.Random(period_ms), 300)]
    groups = groups_of_alike(facts, policy)
    for group in groups:
        places = {
            (one.kind, policy.start_of(one.received_at_ms), one.received_at_ms % period_ms // 60_000) for one in group
        }
        assert len(places) == 1
    assert Counter(one for group in groups for one in group) == Counter(facts)


@pytest.mark.parametrize("kind", KINDS)
def test_alike_facts_change_every_feature_of_visitors_too_as_if_each_came_alone(kind: str) -> None:
    policy = POLICIES[86_400_000].bucket
    facts = [one for one, _ in arrivals(random.Random(kind), 400) if one.kind == kind]
    for name, aggregate in folds_of("visitor", kind):
        together, one_by_one = aggregate.zero(), aggregate.zero()
        for group in groups_of_alike(facts, policy):
            together = alike_adder(aggregate, policy.period_ms)(together, group)
            for one in group:
                one_by_one = aggregate.add(one_by_one, one, policy)
        assert together == one_by_one, name


def test_a_hop_has_nothing_that_no_item_feature_reads() -> None:
    assert set(Hop.__struct_fields__) <= {*Fact.__struct_fields__, *Stamp.__struct_fields__}
