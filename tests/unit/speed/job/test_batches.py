"""One call from the JVM: what it is about, and what follows, survive the border."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from speed.job.batches import Batch, Entry, Key, pack_answer, pack_batch, read_answer, read_batch

I64 = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
BLOBS = st.lists(st.none() | st.binary(max_size=64), max_size=8)


@given(BLOBS, st.lists(st.builds(Entry, st.integers(0, 1 << 31), I64, st.binary(max_size=64)), max_size=8))
def test_any_batch_survives_the_border(blobs: list[bytes | None], entries: list[Entry]) -> None:
    assert read_batch(pack_batch(Batch(blobs, entries))) == Batch(blobs, entries)


@given(BLOBS, st.lists(st.tuples(st.integers(0, 3), I64), max_size=8), st.lists(st.binary(max_size=64), max_size=4))
def test_any_answer_survives_the_border(
    blobs: list[bytes | None], timers: list[tuple[int, int]], frames: list[bytes]
) -> None:
    keys = [Key(b"before") for _ in range(max(len(blobs), 4))]
    for key, blob in zip(keys, blobs, strict=False):
        if blob is None:
            key.clear()
        else:
            key.update(blob)
    for place, at_ms in timers:
        keys[place].register_processing_time_timer(at_ms)
    found_blobs, found_timers, frame = read_answer(pack_answer(keys, frames))
    assert found_blobs == dict(enumerate(blobs))
    assert sorted(found_timers) == sorted(timers)
    assert frame == b"".join(frames)


def test_a_state_that_nobody_changed_does_not_cross_the_border_again() -> None:
    key = Key(b"blob")
    assert key.value() == b"blob"
    assert read_answer(pack_answer([key], [])) == ({}, [], b"")
