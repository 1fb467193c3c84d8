from __future__ import annotations

from typing import Any

from domain.merge import session_cells
from domain.states import VisitorState
from schemas.events import Kind
from tests.builders import MINUTE_BUCKETS, START_MS, interaction, stamp


def session_after(*visits: tuple[Kind, str, int]) -> dict[str, Any]:
    state = VisitorState.load(None, MINUTE_BUCKETS)
    for number, (kind, item, at_ms) in enumerate(visits):
        event = interaction(f"e{number}", kind=kind, item=item, at_ms=START_MS + at_ms, categories=(item[0],))
        state.observe(event, stamp(START_MS + at_ms, offset=number))
    cells = session_cells(state.row, MINUTE_BUCKETS)
    assert cells is not None
    return cells


def test_items_come_oldest_first_with_their_kinds_and_instants() -> None:
    cells = session_after(("view", "a", 0), ("click", "b", 5))
    assert cells["session_items"] == ["a", "b"]
    assert cells["session_items_kinds"] == ["view", "click"]
    assert cells["session_items_at_ms"] == [START_MS, START_MS + 5]


def test_length_counts_visits_and_distinct_items_count_items() -> None:
    cells = session_after(("view", "a", 0), ("view", "a", 1), ("view", "b", 2))
    assert (cells["session_length"], cells["session_distinct_items"]) == (3, 2)


def test_dwell_is_the_mean_time_between_visits() -> None:
    assert session_after(("view", "a", 0), ("view", "b", 100), ("view", "c", 301))["session_dwell_mean_ms"] == 150
    assert session_after(("view", "a", 0))["session_dwell_mean_ms"] == 0


def test_what_was_bought_leaves_the_cart() -> None:
    assert session_after(("cart", "a", 0), ("cart", "b", 1), ("purchase", "a", 2))["session_cart_items"] == ["b"]


def test_categories_are_ranked_by_count_then_name() -> None:
    cells = session_after(("view", "b", 0), ("view", "a", 1), ("view", "c", 2), ("view", "c2", 3))
    assert cells["session_categories_keys"] == ["c", "a", "b"]
    assert cells["session_categories_values"] == [2, 1, 1]


def test_a_session_becomes_a_binge_play_by_play() -> None:
    plays: list[tuple[Kind, str, int]] = [("play", f"p{number}", number) for number in range(4)]
    assert [session_after(("view", "v", 0), *plays[:count])["session_binge_probability"] for count in range(5)] == [
        0.0,
        0.25,
        2 / 3,
        1.0,
        1.0,
    ]
