"""`domain.quantities` over arrays of facts: integer arithmetic throughout, to the bit what Python's fold does."""

from __future__ import annotations

from typing import Final, assert_never

import numpy as np
import pyarrow as pa

from batch.features.arrays import Ints, Words
from batch.features.fact_arrays import FactArrays
from domain.facts import MICROS, WEEKDAY_OF_EPOCH
from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS
from domain.quantities import POSITIVE_MICROS, RATING_MICROS_MAX, Key, Quantity

HOURS: Final = [f"{hour:02d}" for hour in range(24)]
WEEKDAY_HOURS: Final = [f"{day}-{hour}" for day in range(7) for hour in HOURS]


def quantity_of(quantity: Quantity, facts: FactArrays) -> Ints:
    """The integer that each fact adds."""
    match quantity:
        case "one":
            return np.ones(len(facts), np.int64)
        case "value_micros" | "occurred_at_ms" | "critic_milli":
            return facts.ints(quantity)
        case "paid_micros":
            return np.maximum(facts.ints("value_micros"), 0)
        case "watched_ms":
            return np.maximum(facts.ints("value_micros"), 0) // MICROS
        case "rating_micros":
            return _rating_micros(facts)
        case "audience_vote":
            return _by_audience(facts)
        case "audience_rating_micros":
            return _by_audience(facts) * _rating_micros(facts)
        case "positive_vote":
            return _by_audience(facts) * (_rating_micros(facts) >= POSITIVE_MICROS)
        case "critic_rating":
            return facts.ints("critic_milli") * _rating_micros(facts)
        case _:
            assert_never(quantity)


def keyed(key: Key, facts: FactArrays) -> tuple[Ints, Words]:
    """Each key of each fact, by `domain.quantities.keys_of`: the facts' places, and the keys."""
    match key:
        case "kind":
            return np.arange(len(facts)), facts.words("kind")
        case "category":
            return facts.listed_words("categories")
        case "local_hour":
            return np.arange(len(facts)), Words(_local_hour(facts), pa.array(HOURS))
        case "local_weekday_hour":
            weekday = (_local_ms(facts) // DAY_MS + WEEKDAY_OF_EPOCH) % 7
            return np.arange(len(facts)), Words(weekday * len(HOURS) + _local_hour(facts), pa.array(WEEKDAY_HOURS))
        case _:
            assert_never(key)


def _by_audience(facts: FactArrays) -> Ints:
    votes: Ints = (facts.ints("critic_milli") == 0).astype(np.int64)
    return votes


def _rating_micros(facts: FactArrays) -> Ints:
    return np.clip(facts.ints("value_micros"), 0, RATING_MICROS_MAX)


def _local_ms(facts: FactArrays) -> Ints:
    local_ms: Ints = facts.ints("occurred_at_ms") + facts.ints("utc_offset_min") * MINUTE_MS
    return local_ms


def _local_hour(facts: FactArrays) -> Ints:
    hour: Ints = _local_ms(facts) // HOUR_MS % len(HOURS)
    return hour
