"""The stream's silence is told by the server's own events."""

from __future__ import annotations

from serving.adapters.stream_pulse import PATIENCE_MS, REMEMBERED, StreamPulse
from tests.builders import START_MS


class Clock:
    """A clock that stands until it is moved."""

    now_ms = START_MS

    def __call__(self) -> int:
        return self.now_ms


def pulse_after(*event_ids: str) -> tuple[StreamPulse, Clock]:
    """Events that Kafka took one millisecond after the other, all at this instant of ours."""
    clock = Clock()
    pulse = StreamPulse(clock)
    for place, event_id in enumerate(event_ids):
        pulse.note_accepted([event_id], START_MS + place)
    return pulse, clock


def test_a_stream_to_which_nothing_was_sent_is_not_silent() -> None:
    pulse, clock = pulse_after()
    assert not pulse.is_silent(clock.now_ms + 1_000 * PATIENCE_MS)


def test_an_event_without_a_row_is_a_silence_once_patience_is_over() -> None:
    pulse, clock = pulse_after("e1")
    assert not pulse.is_silent(clock.now_ms + PATIENCE_MS)
    assert pulse.is_silent(clock.now_ms + PATIENCE_MS + 1)


def test_a_row_as_new_as_the_event_ends_it() -> None:
    pulse, clock = pulse_after("e1")
    pulse.note_written(START_MS - 1)
    assert pulse.is_silent(clock.now_ms + PATIENCE_MS + 1)
    pulse.note_written(START_MS)
    assert not pulse.is_silent(clock.now_ms + PATIENCE_MS + 1)


def test_a_row_of_an_older_event_leaves_the_newer_one_waiting() -> None:
    pulse, clock = pulse_after("e1", "e2")
    pulse.note_written(START_MS)
    assert pulse.is_silent(clock.now_ms + PATIENCE_MS + 1)
    pulse.note_written(START_MS + 1)
    assert not pulse.is_silent(clock.now_ms + PATIENCE_MS + 1)


def test_a_row_that_was_quicker_than_the_acknowledgement_counts() -> None:
    clock = Clock()
    pulse = StreamPulse(clock)
    pulse.note_written(START_MS)
    pulse.note_accepted(["e1"], START_MS)
    assert not pulse.is_silent(clock.now_ms + PATIENCE_MS + 1)


def test_more_events_into_the_silence_do_not_hide_it() -> None:
    pulse, clock = pulse_after("e1")
    clock.now_ms += PATIENCE_MS + 1
    pulse.note_accepted(["e2"], START_MS + PATIENCE_MS)
    assert pulse.is_silent(clock.now_ms)


def test_an_event_that_is_sent_again_waits_for_nothing() -> None:
    pulse, clock = pulse_after("e1")
    pulse.note_written(START_MS)
    pulse.note_accepted(["e1"], START_MS + 5)
    assert not pulse.is_silent(clock.now_ms + PATIENCE_MS + 1)


def test_the_memory_of_events_is_bounded() -> None:
    pulse, _ = pulse_after()
    pulse.note_accepted([f"e{number}" for number in range(REMEMBERED + 10)], START_MS)
    assert len(pulse._known) == len(pulse._order) == REMEMBERED
