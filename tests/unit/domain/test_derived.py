"""The derived features over a log, end to end: facts in, values that a person can check out."""

from __future__ import annotations

from typing import Any

import pytest

from domain.features import derived_of
from domain.policies import DAY_MS, HOUR_MS, Policies
from domain.reference import merged_values
from schemas.events import InteractionContext
from tests.builders import START_MS, fact

MONDAY_MS = START_MS - (START_MS // DAY_MS + 3) % 7 * DAY_MS
CRITIC = InteractionContext(source="critic", weight=2.0)


def values(entity: Any, *facts: Any, as_of_ms: int = START_MS) -> dict[str, Any]:
    return dict(merged_values(entity, facts, as_of_ms, Policies()))


def test_what_has_nothing_to_go_by_is_none() -> None:
    unknown = values("item", fact())
    assert [unknown[name] for name in ("positive_share", "critic_score", "dwell_mean_ms")] == [None] * 3
    assert values("visitor", fact())["rating_mean"] is None


def test_an_audience_and_its_critics_are_told_apart() -> None:
    audience = [fact(f"a{n}", kind="rating", value=4.0 if n else 1.0) for n in range(5)]
    found = values("item", *audience, fact("c", kind="rating", value=2.5, context=CRITIC))
    assert (found["votes"], found["positive_share"], found["critic_score"]) == (5, 0.8, 50.0)
    assert found["weighted_rating"] == (17.0 + 3.0 * 25) / 30


def test_a_rating_off_the_scale_counts_as_its_end() -> None:
    assert values("visitor", fact(kind="rating", value=99.0))["rating_mean"] == 5.0
    assert values("visitor", fact(kind="rating", value=-1.0))["rating_mean"] == 0.0


def test_watch_time_is_shared_out_over_local_weekdays_and_hours() -> None:
    evening = fact("e", kind="play", value=3_000.0, at_ms=MONDAY_MS + 20 * HOUR_MS)
    morning = fact("m", kind="play", value=1_000.0, at_ms=MONDAY_MS + DAY_MS + 7 * HOUR_MS)
    found = values("visitor", evening, morning)
    assert found["watch_weekdays"] == [0.75, 0.25, 0, 0, 0, 0, 0]
    assert (found["watch_hours"][20], found["watch_hours"][7], sum(found["watch_hours"])) == (0.75, 0.25, 1.0)
    assert (found["watch_pattern_keys"], found["recent_watches_items"]) == (["0-20", "1-07"], ["book"])


def test_an_item_that_is_suddenly_wanted_has_a_trend_and_a_steady_one_has_not() -> None:
    burst = [fact(f"b{n}", received_at_ms=START_MS) for n in range(50)]
    steady = [fact(f"s{n}", received_at_ms=START_MS - n * HOUR_MS // 2) for n in range(28 * 48)]
    assert values("item", *burst)["trend"] > 30
    assert abs(values("item", *steady)["trend"]) < 2


def test_a_day_of_three_plays_is_a_binge() -> None:
    plays = [fact(f"p{n}", kind="play", received_at_ms=START_MS + n) for n in range(3)]
    single = fact("q", kind="play", received_at_ms=START_MS - DAY_MS)
    assert values("visitor", *plays, single)["binge_probability"] == (1 + 0.2 * 5) / (2 + 5)


def test_ages_are_told_at_the_rows_own_instant() -> None:
    found = values("item", fact(at_ms=START_MS - HOUR_MS), as_of_ms=START_MS + HOUR_MS)
    assert found["age_ms"] == 2 * HOUR_MS
    assert values("visitor", fact(at_ms=START_MS + 5), as_of_ms=START_MS)["recency_ms"] == 0


@pytest.mark.parametrize("entity", ["visitor", "item"])
def test_a_derived_feature_names_all_that_it_reads(entity: Any) -> None:
    finished = values(entity, fact())
    for feature in derived_of(entity):
        seen: set[str] = set()

        class Watched(dict[str, Any]):
            def __getitem__(self, name: str) -> Any:
                seen.add(name)  # noqa: B023 - read in this turn of the loop
                return super().__getitem__(name)

        feature.derive(Watched(finished, as_of_ms=START_MS))
        unnamed = {name for name in seen - {"as_of_ms"} if not name.startswith(("shown", "clicked", "converted"))}
        assert all(any(name.startswith(given) for given in feature.inputs) for name in unnamed), feature.name
