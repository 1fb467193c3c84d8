"""What of the log is no longer there, and which part of it a replay takes."""

from __future__ import annotations

import pytest

from speed.commands.log import Bounds, missing_from
from speed.commands.replay import range_of
from speed.job.settings import LogRange


@pytest.mark.parametrize(
    ("needed_ms", "bounds", "oldest_ms", "is_lacking"),
    [
        (0, Bounds(0, 9), 500, False),  # nothing was let go
        (0, Bounds(3, 9), 500, True),
        (400, Bounds(3, 9), 500, True),
        (500, Bounds(3, 9), 500, False),
        (600, Bounds(3, 9), 500, False),
        (0, Bounds(0, 0), None, False),  # it never had anything
        (0, Bounds(9, 9), None, True),
        (400, Bounds(9, 9), None, False),  # let go whole: by its age, as far as anyone knows
    ],
)
def test_a_partition_lacks_something_when_its_beginning_is_younger_than_what_is_needed(
    needed_ms: int, bounds: Bounds, oldest_ms: int | None, is_lacking: bool
) -> None:
    assert missing_from(needed_ms, {2: bounds}, {2: oldest_ms}) == ([2] if is_lacking else [])


def test_a_range_ends_where_its_partition_does_and_never_before_it_begins() -> None:
    bounds = {0: Bounds(0, 10), 1: Bounds(5, 10), 2: Bounds(0, 10)}
    found = range_of(bounds, {0: 2, 1: None, 2: 7}, {0: 6, 1: None, 2: None})
    assert found == LogRange({0: 2, 1: 10, 2: 7}, {0: 6, 1: 10, 2: 10})
    backwards = range_of({0: Bounds(0, 10)}, {0: 7}, {0: 3})
    assert backwards == LogRange({0: 7}, {0: 7})
