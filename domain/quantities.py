"""What is summed, and by which key: names that the Python fold and the Spark plan both resolve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

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


def _rating_micros(fact: Fact) -> int:
    return min(max(fact.value_micros, 0), RATING_MICROS_MAX)


QUANTITIES: Final[dict[Quantity, Callable[[Fact], int]]] = {
    "one": lambda fact: 1,
    "value_micros": lambda fact: fact.value_micros,
    "paid_micros": lambda fact: max(fact.value_micros, 0),
    "occurred_at_ms": lambda fact: fact.occurred_at_ms,
    "watched_ms": lambda fact: max(fact.value_micros, 0) // MICROS,
    "rating_micros": _rating_micros,
    "audience_vote": lambda fact: 0 if fact.critic_milli else 1,
    "audience_rating_micros": lambda fact: 0 if fact.critic_milli else _rating_micros(fact),
    "positive_vote": lambda fact: int(not fact.critic_milli and _rating_micros(fact) >= POSITIVE_MICROS),
    "critic_milli": lambda fact: fact.critic_milli,
    "critic_rating": lambda fact: fact.critic_milli * _rating_micros(fact),
}
"""The integer that a fact adds."""

_HOURS: Final = tuple((f"{hour:02d}",) for hour in range(24))
_WEEKDAY_HOURS: Final = tuple(tuple((f"{day}-{hour:02d}",) for hour in range(24)) for day in range(7))

KEYS: Final[dict[Key, Callable[[Fact], Sequence[str]]]] = {
    "kind": lambda fact: (fact.kind,),
    "category": lambda fact: fact.categories if len(fact.categories) == 1 else tuple(dict.fromkeys(fact.categories)),
    "local_hour": lambda fact: _HOURS[fact.local_hour],
    "local_weekday_hour": lambda fact: _WEEKDAY_HOURS[fact.local_weekday][fact.local_hour],
}
"""The keys under which a fact is counted; one that names several categories counts once under each."""
