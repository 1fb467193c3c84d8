"""The check for leaks, on rows made by the reference itself: true ones pass, planted ones stop by name."""

from __future__ import annotations

from typing import Any

import pytest

from batch.training.point_in_time_leaks import LeakedFeature, ReachesBeyond, known_cells, plain, refuse_leaks
from domain import reference
from domain.features import AGGREGATED, JOIN_KEYS, Feature
from domain.policies import Policies
from domain.reference import LogRecord
from schemas.events import InteractionContext
from tests.builders import START_MS, record

DAY_MS = 86_400_000
POLICIES = Policies()
KINDS = ("view", "play", "rating", "purchase", "rating", "play")
VALUES = {"play": 90_000.0, "rating": 4.5, "purchase": 9.5}


def who_and_what(day: int, number: int) -> tuple[str, str]:
    """Mostly ada and the book; on the last day a new visitor comes to it, and ada to a new item."""
    if day == 3:
        return {5: ("eve", "book"), 3: ("ada", "new")}.get(number, ("ada", "book"))
    return "ada" if number % 2 == 0 else f"v{day}", "book" if number % 3 else f"i{day}"


def log_of(days: int = 4, each: int = 6) -> list[LogRecord]:
    """Acts of every kind every day, some of them a critic's."""
    return [
        record(
            f"e{day}-{number}",
            received_at_ms=START_MS + day * DAY_MS + number * 60_000,
            offset=day * each + number,
            visitor=who_and_what(day, number)[0],
            item=who_and_what(day, number)[1],
            kind=KINDS[number % len(KINDS)],
            value=VALUES.get(KINDS[number % len(KINDS)]),
            context=InteractionContext(
                categories=(f"c{day}",), source="critic" if number == 4 else None, utc_offset_min=60 * day
            ),
        )
        for day in range(days)
        for number in range(each)
    ]


LOG = log_of()


def row_of(known_to_ms: int, *, cells_to_ms: int | None = None, received_at_ms: int | None = None) -> dict[str, Any]:
    """The row of an interaction of the last day; its cells are those of another instant when that is given."""
    row: dict[str, Any] = {
        "event_id": "e3-0",
        "visitor_id": "ada",
        "item_id": "book",
        "known_to_ms": known_to_ms,
        "received_at_ms": START_MS + 3 * DAY_MS if received_at_ms is None else received_at_ms,
    }
    for entity, key in JOIN_KEYS.items():
        facts = reference.facts_by_key(entity, LOG, POLICIES)[row[key]]
        row |= known_cells(entity, facts, known_to_ms if cells_to_ms is None else cells_to_ms, POLICIES)
    return row


LAST_DAY_MS = START_MS + 3 * DAY_MS


def test_rows_that_know_the_past_only_pass() -> None:
    rows = [row_of(START_MS + day * DAY_MS) for day in range(4)]
    compared = refuse_leaks(rows, LOG, POLICIES)
    assert compared == 4 * sum(len(feature.total_names) for feature in AGGREGATED)


def test_an_entity_of_which_nothing_was_known_has_nulls() -> None:
    row = row_of(START_MS)
    assert row["history_interactions"] is None
    assert refuse_leaks([row], LOG, POLICIES) > 0
    with pytest.raises(LeakedFeature, match="interactions"):
        refuse_leaks([row | {"history_interactions": 0}], LOG, POLICIES)


@pytest.mark.parametrize("feature", AGGREGATED, ids=lambda feature: f"{feature.entity}-{feature.name}")
@pytest.mark.parametrize("leaks_ms", [1, DAY_MS], ids=["its own interaction", "its whole day"])
def test_a_planted_leak_stops_the_run_with_the_features_name(feature: Feature, leaks_ms: int) -> None:
    row = row_of(LAST_DAY_MS)
    leaked = row_of(LAST_DAY_MS, cells_to_ms=LAST_DAY_MS + leaks_ms)
    planted = {name: leaked[name] for name in feature.total_names}
    if planted == {name: row[name] for name in feature.total_names}:
        assert leaks_ms == 1  # the interaction is a view: what only counts plays cannot leak by it
        return
    with pytest.raises(LeakedFeature, match=rf"{feature.entity} feature {feature.name} of .* received later") as caught:
        refuse_leaks([row | planted], LOG, POLICIES)
    assert caught.value.feature is feature


def test_a_value_that_was_never_true_is_named_too() -> None:
    with pytest.raises(LeakedFeature, match=r"visitor feature spend of 'ada'.*not what the log says"):
        refuse_leaks([row_of(LAST_DAY_MS) | {"history_spend": -1}], LOG, POLICIES)


def test_a_row_must_not_reach_beyond_its_own_interaction() -> None:
    row = row_of(START_MS + 2 * DAY_MS, received_at_ms=START_MS + 2 * DAY_MS - 1)
    with pytest.raises(ReachesBeyond, match="every feature leaks"):
        refuse_leaks([row], LOG, POLICIES)


def test_cells_are_compared_as_plain_values_however_they_were_read() -> None:
    import numpy as np

    assert plain(np.array([1, 2])) == [1, 2]
    assert plain((np.int64(3), [np.array(["a"])])) == [3, [["a"]]]
