from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.facts import Stamp
from domain.hops import Hop
from speed.job.records import (
    Bundle,
    SourceRecord,
    Tag,
    encode_hop,
    pack_bundle,
    pack_record,
    pack_source,
    read_bundle,
    read_frame,
    read_source,
)

I64 = st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1)
I32 = st.integers(min_value=-(1 << 31), max_value=(1 << 31) - 1)


@given(I64, I32, I64, st.none() | st.binary(max_size=64), st.none() | st.binary(max_size=64))
def test_any_record_survives_the_border(
    received_at_ms: int, partition: int, offset: int, key: bytes | None, value: bytes | None
) -> None:
    record = SourceRecord(Stamp(received_at_ms, partition, offset), key, value)
    assert read_source(pack_source(record)) == record


@given(st.lists(st.tuples(st.sampled_from((1, 2, 3, 4)), st.binary(max_size=64), st.binary(max_size=64))))
def test_a_frame_holds_any_number_of_records_of_any_content(records: list[tuple[Tag, bytes, bytes]]) -> None:
    assert read_frame(b"".join(pack_record(*record) for record in records)) == records


def test_a_value_larger_than_two_length_bytes_does_not_break_the_frame() -> None:
    records: list[tuple[Tag, bytes, bytes]] = [(3, b"0:1", b"x" * 1_000_000), (1, b"ada", b"row")]
    assert read_frame(b"".join(pack_record(*record) for record in records)) == records


@pytest.mark.parametrize(("key", "text"), [(None, ""), (b"\xff", ""), ("é😀".encode(), "é😀")])
def test_a_key_that_is_no_text_is_nobodys(key: bytes | None, text: str) -> None:
    assert SourceRecord(Stamp(0, 0, 0), key, b"").key_text == text


@given(
    st.binary(max_size=64), st.lists(st.builds(Hop, I32, I64, I64, I64, st.text(), st.text(), I64, I64), max_size=20)
)
def test_a_bundle_is_the_hops_that_were_appended_to_each_other(key: bytes, hops: list[Hop]) -> None:
    assert read_bundle(pack_bundle(key, [encode_hop(hop) for hop in hops])) == Bundle(key, hops)
