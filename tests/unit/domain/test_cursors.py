"""Cursors: what was shown before, and nothing else."""

from __future__ import annotations

import pytest

from domain.cursors import CURSOR_MAX, SHOWN_MAX, CursorError, checksum, cursor_after, shown_before


def test_a_cursor_knows_what_was_shown_on_all_pages() -> None:
    first = cursor_after(frozenset(), ["a", "b"])
    assert first is not None
    second = cursor_after(shown_before(first), ["c"])
    assert second is not None
    assert shown_before(second) == {checksum(item) for item in "abc"}


def test_the_longest_cursor_is_as_long_as_it_may_be_and_there_is_none_beyond() -> None:
    longest = cursor_after(frozenset(), [f"item-{number}" for number in range(SHOWN_MAX)])
    assert longest is not None
    assert len(longest) == CURSOR_MAX
    assert len(shown_before(longest)) == SHOWN_MAX
    assert cursor_after(shown_before(longest), ["one more"]) is None


@pytest.mark.parametrize("text", ["", "x", "é", "AQAA", "Ag", "AQ" * CURSOR_MAX, "****"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(CursorError):
        shown_before(text)
