from __future__ import annotations

from domain.context import CONTEXT, context_cells
from domain.policies import DAY_MS, HOUR_MS
from tests.builders import START_MS

MONDAY_MS = START_MS - (START_MS // DAY_MS + 3) % 7 * DAY_MS


def test_the_moment_is_the_visitors_own() -> None:
    cells = context_cells(MONDAY_MS, utc_offset_min=-30, device="tv")
    assert cells == {"context_hour": 23, "context_weekday": 6, "context_device": "tv"}
    assert context_cells(MONDAY_MS + 5 * HOUR_MS)["context_hour"] == 5


def test_a_device_that_nobody_names_is_unknown() -> None:
    assert context_cells(0)["context_device"] == context_cells(0, device="")["context_device"] == "unknown"


def test_the_cells_are_the_catalogues() -> None:
    assert list(context_cells(0)) == [feature.name for feature in CONTEXT]
