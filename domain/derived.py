"""Features that follow from other finished features of the same entity, at the same instant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from domain.aggregates import ColumnType
from domain.facts import MICROS, MILLIS
from domain.impressions import CLICK_PRIOR, CONVERSION_PRIOR, PRIOR_WEIGHT
from domain.policies import DAY_MS, HOUR_MS
from domain.rates import critic_score, mean, positive_share, rate_with_prior, shares, trend, weighted_rating

Values = Mapping[str, Any]
"""Finished values by column, `as_of_ms` among them."""

FLOAT, FLOATS, INT = ColumnType.FLOAT, ColumnType.FLOATS, ColumnType.INT

USUAL_HALF_LIFE_MS: Final = 7 * DAY_MS
RECENT_HALF_LIFE_MS: Final = 3 * HOUR_MS
EXPECTED_SHARE: Final = RECENT_HALF_LIFE_MS / USUAL_HALF_LIFE_MS
"""Of a steady stream, a decayed count is proportional to its half-life."""

WEEKDAYS: Final = 7
HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Derived:
    """One value, computed from those of `inputs` (names of features of the same entity) when a row is read.

    A value that has nothing to go by is None.
    """

    name: str
    entity: Literal["visitor", "item"]
    inputs: tuple[str, ...]
    type: ColumnType
    derive: Callable[[Values], Any]
    description: str
    unit: str
    owner: str = "platform"


def _since(values: Values, column: str) -> int | None:
    """Milliseconds from an instant in a column to the row's own; None when the column has none."""
    return max(values["as_of_ms"] - values[column], 0) if values[column] else None


def _watch_shares(values: Values, part: Literal["weekday", "hour"]) -> list[float]:
    """The watch time by weekday [7] or hour [24], as shares."""
    amounts = [0.0] * (WEEKDAYS if part == "weekday" else HOURS)
    for key, watched_ms in zip(values["watch_pattern_keys"], values["watch_pattern_values"], strict=True):
        weekday, _, hour = key.partition("-")
        amounts[int(weekday if part == "weekday" else hour)] += watched_ms
    return shares(amounts)


DERIVED: Final = (
    Derived(
        "recency_ms",
        "visitor",
        ("activity",),
        INT,
        lambda values: _since(values, "activity_greatest"),
        "Time since the visitor's newest interaction.",
        "milliseconds",
    ),
    Derived(
        "rating_mean",
        "visitor",
        ("ratings", "rating_sum"),
        FLOAT,
        lambda values: mean(values["rating_sum"] / MICROS, values["ratings"]),
        "The mean of the visitor's ratings; none without one.",
        "rating, 0 to 5",
    ),
    Derived(
        "watch_weekdays",
        "visitor",
        ("watch_pattern",),
        FLOATS,
        lambda values: _watch_shares(values, "weekday"),
        "On which days the visitor watches: share of the watch time by local weekday, Monday first.",
        "share",
    ),
    Derived(
        "watch_hours",
        "visitor",
        ("watch_pattern",),
        FLOATS,
        lambda values: _watch_shares(values, "hour"),
        "When in the day the visitor watches: share of the watch time by local hour, 0 to 23.",
        "share",
    ),
    Derived(
        "trend",
        "item",
        ("popularity", "popularity_now"),
        FLOAT,
        lambda values: trend(values["popularity_now"], values["popularity"] * EXPECTED_SHARE),
        "Recent against usual: r = popularity_now, e = popularity · 3 h / 7 d; (r - e) / sqrt(e + 1).",
        "standard deviations",
    ),
    Derived(
        "weighted_rating",
        "item",
        ("votes", "votes_sum"),
        FLOAT,
        lambda values: weighted_rating(values["votes_sum"] / MICROS, values["votes"]),
        "IMDb's weighted rating: the audience's mean, drawn towards 3.0 as by 25 votes.",
        "rating, 0 to 5",
    ),
    Derived(
        "positive_share",
        "item",
        ("votes", "votes_positive"),
        FLOAT,
        lambda values: positive_share(values["votes_positive"], values["votes"]),
        "The share of the audience's ratings of at least 3.5 (Tomatometer); none below five votes.",
        "share",
    ),
    Derived(
        "critic_score",
        "item",
        ("critic_weight", "critic_sum"),
        FLOAT,
        lambda values: critic_score(values["critic_sum"] / MICROS / MILLIS, values["critic_weight"] / MILLIS),
        "The mean of the critics' ratings by their weight (Metascore); none without a critic.",
        "0 to 100",
    ),
    Derived(
        "dwell_mean_ms",
        "item",
        ("plays", "watched"),
        FLOAT,
        lambda values: mean(values["watched"], values["plays"]),
        "How long a play of the item lasts, on average; none without a play.",
        "milliseconds",
    ),
    Derived(
        "age_ms",
        "item",
        ("lifetime",),
        INT,
        lambda values: _since(values, "lifetime_least"),
        "Time since the first interaction with the item.",
        "milliseconds",
    ),
    Derived(
        "click_through_rate",
        "item",
        ("impressions",),
        FLOAT,
        lambda values: rate_with_prior(values["clicked"], values["shown"], CLICK_PRIOR, PRIOR_WEIGHT),
        "Clicked of shown, with a prior of 0.05 that weighs 100 impressions; from the batch layer alone.",
        "share",
    ),
    Derived(
        "conversion_rate",
        "item",
        ("impressions",),
        FLOAT,
        lambda values: rate_with_prior(values["converted"], values["shown"], CONVERSION_PRIOR, PRIOR_WEIGHT),
        "Put into the cart or bought of shown, with a prior of 0.01 that weighs 100 impressions; from batch alone.",
        "share",
    ),
)
