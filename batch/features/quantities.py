"""`domain.quantities` as Spark columns over facts: integer arithmetic throughout, so that both engines agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from pyspark.sql import Column
from pyspark.sql import functions as F

from domain.aggregates.sums import INT64_MAX
from domain.facts import MICROS, WEEKDAY_OF_EPOCH
from domain.policies import DAY_MS, HOUR_MS, MINUTE_MS
from domain.quantities import POSITIVE_MICROS, RATING_MICROS_MAX, Key, Quantity


def quantity_of(quantity: Quantity) -> Column:
    """The integer that a fact adds."""
    match quantity:
        case "one":
            return integer(1)
        case "value_micros" | "occurred_at_ms" | "critic_milli":
            return F.col(quantity)
        case "paid_micros":
            return F.greatest(F.col("value_micros"), integer(0))
        case "watched_ms":
            return quotient(F.greatest(F.col("value_micros"), integer(0)), MICROS)
        case "rating_micros":
            return _rating_micros()
        case "audience_vote":
            return F.when(_by_audience(), integer(1)).otherwise(integer(0))
        case "audience_rating_micros":
            return F.when(_by_audience(), _rating_micros()).otherwise(integer(0))
        case "positive_vote":
            is_positive = _by_audience() & (_rating_micros() >= POSITIVE_MICROS)
            return F.when(is_positive, integer(1)).otherwise(integer(0))
        case "critic_rating":
            return F.col("critic_milli") * _rating_micros()
        case _:
            assert_never(quantity)


def by_key(key: Key, made_of: Callable[[Column], Column]) -> Column:
    """An array of what is made of each key of a fact, by `domain.quantities.keys_of`.

    Only where a fact may have several keys Spark is given a function, which it does not compile.
    """
    match key:
        case "kind":
            return F.array(made_of(F.col("kind")))
        case "category":
            return F.transform(F.array_distinct("categories"), made_of)
        case "local_hour":
            return F.array(made_of(_local_hour()))
        case "local_weekday_hour":
            return F.array(made_of(F.concat_ws("-", _local_weekday().cast("string"), _local_hour())))
        case _:
            assert_never(key)


def is_of(kinds: tuple[str, ...]) -> Column:
    """Whether a fact is of one of the kinds; every fact is when none is named."""
    return F.col("kind").isin(*kinds) if kinds else F.lit(col=True)


def integer(number: int) -> Column:
    """A 64-bit literal."""
    return F.lit(number).cast("bigint")


def quotient(number: Column, divisor: int) -> Column:
    """The whole part of a division, in integers: a double would round what is beyond 2^53."""
    return F.call_function("div", number, integer(divisor))


def saturating_sum(amount: Column) -> Column:
    """A sum that stops at 64 bits instead of failing, as `domain.aggregates.sums.saturated` does."""
    overflown = F.when(F.sum(amount.cast("double")) < 0, integer(-INT64_MAX)).otherwise(integer(INT64_MAX))
    return F.coalesce(F.try_sum(amount), overflown)


def _by_audience() -> Column:
    return F.col("critic_milli") == 0


def _rating_micros() -> Column:
    return F.least(F.greatest(F.col("value_micros"), integer(0)), integer(RATING_MICROS_MAX))


def _local_ms() -> Column:
    return F.col("occurred_at_ms") + F.col("utc_offset_min") * integer(MINUTE_MS)


def _local_hour() -> Column:
    hour = quotient(F.pmod(_local_ms(), integer(DAY_MS)), HOUR_MS)
    return F.lpad(hour.cast("string"), 2, "0")


def _local_weekday() -> Column:
    """`div` cuts towards zero, so the day's own milliseconds are taken off first: the quotient is then a whole one."""
    day = quotient(_local_ms() - F.pmod(_local_ms(), integer(DAY_MS)), DAY_MS)
    return F.pmod(day + integer(WEEKDAY_OF_EPOCH), integer(7))
