"""What is summed, and by which key: names that the Python fold and the Spark plan both resolve."""

from __future__ import annotations

from typing import Final, Literal, assert_never

from domain.facts import MICROS, Fact
from domain.rates import RATING_MAX, RATING_POSITIVE

Quantity = Literal[
    "one",
    "value_micros",
    "paid_micros",
    "occurred_at_ms",
    "watched_ms",
    "rating_micros",
    "audience_vote",
    "audience_rating_micros",
    "positive_vote",
    "critic_milli",
    "critic_rating",
]
"""`paid_micros`: the value, never negative, for a sum of both signs would depend on its order once it saturates.
`watched_ms`: the same in whole units. `rating_micros`: the value, cut to the scale of ratings.

`audience_…`: 0 where a critic speaks. `positive_vote`: 1 where an audience's rating is positive. `critic_milli`: the
weight of a critic; `critic_rating`: that weight times the rating, in thousandths of millionths.
"""

Key = Literal["kind", "category", "local_hour", "local_weekday_hour"]

RATING_MICROS_MAX: Final = round(RATING_MAX * MICROS)
POSITIVE_MICROS: Final = round(RATING_POSITIVE * MICROS)


def quantity_of(quantity: Quantity, fact: Fact) -> int:
    """The integer that a fact adds."""
    match quantity:
        case "one":
            return 1
        case "value_micros":
            return fact.value_micros
        case "paid_micros":
            return max(fact.value_micros, 0)
        case "occurred_at_ms":
            return fact.occurred_at_ms
        case "watched_ms":
            return max(fact.value_micros, 0) // MICROS
        case "rating_micros":
            return _rating_micros(fact)
        case "audience_vote":
            return 0 if fact.critic_milli else 1
        case "audience_rating_micros":
            return 0 if fact.critic_milli else _rating_micros(fact)
        case "positive_vote":
            return int(not fact.critic_milli and _rating_micros(fact) >= POSITIVE_MICROS)
        case "critic_milli":
            return fact.critic_milli
        case "critic_rating":
            return fact.critic_milli * _rating_micros(fact)
        case _:
            assert_never(quantity)


def _rating_micros(fact: Fact) -> int:
    return min(max(fact.value_micros, 0), RATING_MICROS_MAX)


def keys_of(key: Key, fact: Fact) -> tuple[str, ...]:
    """The keys under which a fact is counted; one that names several categories counts once under each."""
    match key:
        case "kind":
            return (fact.kind,)
        case "category":
            return tuple(dict.fromkeys(fact.categories))
        case "local_hour":
            return (f"{fact.local_hour:02d}",)
        case "local_weekday_hour":
            return (f"{fact.local_weekday}-{fact.local_hour:02d}",)
        case _:
            assert_never(key)
