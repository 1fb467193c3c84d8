"""Features that the catalogue does not have, for every aggregate that the Spark plan compiles, and their own fold."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from domain.aggregates import Aggregate, BucketRate, DecayedSum, Histogram, KMinValues, LastN, MinMax, Sum, Windowed
from domain.facts import Fact
from domain.features import Feature
from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS, BucketPolicy
from tests.integration.generated_log import PERIOD_MS

AGGREGATES: tuple[Aggregate, ...] = (
    Sum("value_micros"),
    MinMax("value_micros"),
    MinMax("rating_micros", ("rating",)),
    Histogram("category", Sum("value_micros"), keys_max=3),
    Histogram("local_weekday_hour", DecayedSum(HOUR_MS, ("play", "view")), keys_max=5),
    DecayedSum(MINUTE_MS),  # its weights are beyond 64 bits
    DecayedSum(7 * DAY_MS, ("hide",)),
    Windowed(Sum(), (PERIOD_MS, 700 * PERIOD_MS)),
    Windowed(Sum("value_micros", ("cart", "like")), (3 * PERIOD_MS,)),
    Windowed(Histogram("category", keys_max=2), (5 * PERIOD_MS, 2 * PERIOD_MS)),
    Windowed(Histogram("kind", Sum("value_micros")), (30 * PERIOD_MS,)),
    BucketRate(Sum(), at_least=2, prior_rate=0.5, prior_weight=1),
    BucketRate(Sum("value_micros"), at_least=-5, prior_rate=0.5, prior_weight=1),
    LastN(7),
    LastN(3, ("play", "hide")),
    LastN(4, ("rating",)),
    KMinValues("item_id", k=3),
    KMinValues("item_id", k=4, kinds=("rating",)),
    KMinValues("visitor_id", k=5),
)
"""With bounds so tight that a small log reaches them, and combinations that the catalogue does not have."""

UNUSUAL = [Feature(f"unusual_{number}", "visitor", each, "", "") for number, each in enumerate(AGGREGATES)]


def packed(feature: Feature, total: Any) -> dict[str, Any]:
    return dict(zip(feature.total_names, feature.aggregate.pack_total(total), strict=True))


def folded(feature: Feature, facts: list[Fact], policy: BucketPolicy) -> dict[str, Any]:
    """The columns of a total: every fact into the state of its bucket, every bucket into the total."""
    aggregate, total = feature.aggregate, feature.aggregate.nothing()
    in_order = sorted(facts, key=lambda fact: policy.start_of(fact.received_at_ms))
    for start_ms, of_bucket in groupby(in_order, lambda fact: policy.start_of(fact.received_at_ms)):
        state = aggregate.zero()
        for fact in of_bucket:
            state = aggregate.add(state, fact, policy)
        total = aggregate.extend(total, state, start_ms)
    return packed(feature, total)
