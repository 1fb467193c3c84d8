"""The keyed steps as Flink runs them, over plain memory. In speed environment and main environment alike."""

from __future__ import annotations

import base64

import pytest

from domain.policies import DAY_MS, AdmissionPolicy, Policies
from domain.rows import decode_row
from schemas.errors import Reason
from schemas.events import DeadLetter, InteractionEvent, decode, encode
from schemas.topics import DEAD_LETTER_BYTES_MAX
from speed.job.records import (
    DEAD_LETTER,
    ITEM_HOP,
    ITEM_ROW,
    VISITOR_ROW,
    SourceRecord,
    pack_bundle,
    pack_record,
    pack_source,
    read_frame,
)
from speed.job.steps import ADMITTED, DUPLICATE, LATE, RAW_BYTES_MAX, ItemStep, Taken, VisitorStep
from tests.builders import START_MS, interaction, stamp
from tests.unit.speed.job.keyed_memory import Memory


def frame_of(step: VisitorStep | ItemStep, taken: Taken) -> list[tuple[int, bytes, bytes]]:
    """All that follows from a record when nothing is held back."""
    row = b"" if taken.blob is None else pack_record(step.row_tag, taken.key, step.encoded_row(taken.blob))
    return read_frame(row + taken.rest)


class Visitors:
    """A visitor step with the state of one key under it."""

    def __init__(self, policies: Policies | None = None) -> None:
        self.memory = Memory()
        self._step = VisitorStep(policies or Policies(), "interactions")
        self._offset = 0

    def send(self, value: bytes | None, *, key: bytes | None = b"ada") -> dict[int, tuple[bytes, bytes]]:
        record = SourceRecord(stamp(offset=self._offset), key, value)
        self._offset += 1
        self.taken = self._step.take(pack_source(record), self.memory)
        return {tag: (key, value) for tag, key, value in frame_of(self._step, self.taken)}

    def click(self, event: InteractionEvent) -> dict[int, tuple[bytes, bytes]]:
        return self.send(encode(event), key=event.visitor_id.encode())


def bundle_of(*clicks: InteractionEvent) -> bytes:
    """The bundle in which these clicks of one item come to it, however many visitors they are of."""
    visitors: dict[str, Visitors] = {}
    hops = [visitors.setdefault(click.visitor_id, Visitors()).click(click)[ITEM_HOP] for click in clicks]
    return pack_bundle(hops[0][0], [hop for _, hop in hops])


def letter(sent: dict[int, tuple[bytes, bytes]]) -> DeadLetter:
    return decode(DeadLetter, sent[DEAD_LETTER][1])


def test_an_admitted_click_leaves_as_a_visitor_row_and_hops_to_its_item() -> None:
    sent = Visitors().click(interaction(item="😀"))
    assert sent.keys() == {VISITOR_ROW, ITEM_HOP}
    assert sent[VISITOR_ROW][0] == b"ada"
    assert sent[ITEM_HOP][0] == "😀".encode()
    assert decode_row(sent[VISITOR_ROW][1]).offsets == {0: 0}


def test_a_hop_becomes_the_row_of_the_item() -> None:
    step = ItemStep(Policies())
    ((tag, key, value),) = frame_of(step, step.take(bundle_of(interaction(item="book")), Memory()))
    assert (tag, key) == (ITEM_ROW, b"book")
    assert decode_row(value).buckets[0].states["counts"] == {"view": 1}


def test_a_bundle_is_one_row_that_counts_all_its_hops_and_is_as_new_as_the_newest() -> None:
    step, memory = ItemStep(Policies()), Memory()
    clicks = [interaction(f"e{number}", visitor=visitor) for number in range(3) for visitor in ("ada", "bob")]
    taken = step.take(bundle_of(*clicks), memory)
    ((tag, key, value),) = frame_of(step, taken)
    row = decode_row(value)
    assert (tag, key, taken.received_at_ms) == (ITEM_ROW, b"book", row.received_at_ms)
    assert row.buckets[0].states["counts"] == {"view": 6}
    assert row.offsets == {0: 2}


def test_a_duplicate_moves_the_row_to_its_offset_and_does_not_hop() -> None:
    visitors = Visitors()
    visitors.click(interaction("e1"))
    sent = visitors.click(interaction("e1"))
    assert sent.keys() == {VISITOR_ROW}
    assert decode_row(sent[VISITOR_ROW][1]).offsets == {0: 1}


def test_a_flood_is_a_dead_letter_and_its_offset_is_taken() -> None:
    visitors = Visitors(Policies(admission=AdmissionPolicy(admitted_max=1)))
    visitors.click(interaction("e1"))
    sent = visitors.click(interaction("e2"))
    assert sent.keys() == {VISITOR_ROW, DEAD_LETTER}
    assert letter(sent).reason is Reason.FLOOD
    assert decode_row(sent[VISITOR_ROW][1]).offsets == {0: 1}


def test_an_event_that_must_not_personalise_counts_for_its_item_only() -> None:
    sent = Visitors().click(interaction(personalise=False))
    assert sent.keys() == {VISITOR_ROW, ITEM_HOP}
    assert decode_row(sent[VISITOR_ROW][1]).buckets == []


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"ada", b"", Reason.MALFORMED),
        (b"ada", None, Reason.MALFORMED),
        (b"ada", b"\xff\x00{", Reason.MALFORMED),
        (b"ada", b"{}", Reason.CONTRACT),
        (b"bob", encode(interaction()), Reason.KEY),
        (None, encode(interaction()), Reason.KEY),
        (b"\xff", encode(interaction()), Reason.KEY),
        (b"ada", encode(interaction(at_ms=START_MS + 300_001)), Reason.FUTURE),
        (b"ada", b"x" * 17_000, Reason.OVERSIZE),
    ],
)
def test_what_is_refused_becomes_a_dead_letter_and_touches_no_state(
    key: bytes | None, value: bytes | None, reason: Reason
) -> None:
    visitors = Visitors()
    sent = visitors.send(value, key=key)
    assert sent.keys() == {DEAD_LETTER}
    assert sent[DEAD_LETTER][0] == b"0:0"
    assert letter(sent).reason is reason
    assert base64.b64decode(letter(sent).raw_base64) == (value or b"")
    assert visitors.memory.blob is None


@pytest.mark.parametrize("key_bytes", [0, 3, 500_000, RAW_BYTES_MAX])
def test_the_largest_record_that_kafka_takes_is_kept_whole_in_its_dead_letter(key_bytes: int) -> None:
    key, value = b"k" * key_bytes, b"x" * (RAW_BYTES_MAX - key_bytes)
    sent = Visitors().send(value, key=key)
    assert len(sent[DEAD_LETTER][1]) < DEAD_LETTER_BYTES_MAX
    assert base64.b64decode(letter(sent).raw_base64) == value
    assert base64.b64decode(letter(sent).key_base64 or "") == key


@pytest.mark.parametrize(("key_bytes", "value_bytes"), [(3, 9 << 20), (9 << 20, 3), (9 << 20, 9 << 20)])
def test_the_dead_letter_of_a_record_that_unpacked_to_more_fits_into_its_topic_and_says_that_it_was_cut(
    key_bytes: int, value_bytes: int
) -> None:
    sent = Visitors().send(b"x" * value_bytes, key=b"k" * key_bytes)
    assert len(sent[DEAD_LETTER][1]) < DEAD_LETTER_BYTES_MAX
    kept = base64.b64decode(letter(sent).key_base64 or "") + base64.b64decode(letter(sent).raw_base64)
    assert len(kept) == RAW_BYTES_MAX
    assert f"of {key_bytes} + {value_bytes} bytes only the first" in letter(sent).detail


def test_a_dead_letter_tells_an_empty_key_from_none() -> None:
    assert letter(Visitors().send(b"{", key=None)).key_base64 is None
    assert letter(Visitors().send(b"{", key=b"")).key_base64 == ""


def test_a_long_detail_is_cut_to_what_a_dead_letter_may_hold() -> None:
    sent = Visitors().send(b'{"' + b"y" * 4_000 + b'": 1}')
    assert letter(sent).reason is Reason.CONTRACT


def test_a_bucket_full_of_the_largest_values_can_still_be_kept() -> None:
    visitors = Visitors()
    purchases = [
        interaction(f"e{number}", kind="purchase", value=1e9) for number in range(AdmissionPolicy().admitted_max)
    ]
    *_, sent = [visitors.click(purchase) for purchase in purchases]
    assert decode_row(sent[VISITOR_ROW][1]).buckets[0].states["spend"] < 1 << 63


def test_what_became_of_a_record_is_counted_by_name() -> None:
    visitors = Visitors(Policies(admission=AdmissionPolicy(admitted_max=2)))
    counted = []
    for event in (
        interaction("e1"),
        interaction("e1"),
        interaction("e2", at_ms=START_MS - 2 * DAY_MS),
        interaction("e3"),
    ):
        visitors.click(event)
        counted.append(visitors.taken.counted)
    visitors.send(b"")
    assert [*counted, visitors.taken.counted] == [
        (ADMITTED,),
        (DUPLICATE,),
        (ADMITTED, LATE),
        (Reason.FLOOD,),
        (Reason.MALFORMED,),
    ]


def test_a_late_event_still_counts_in_its_bucket() -> None:
    visitors = Visitors()
    visitors.click(interaction("e1"))
    sent = visitors.click(interaction("e2", at_ms=START_MS - 2 * DAY_MS))
    row = decode_row(sent[VISITOR_ROW][1])
    assert row.buckets[0].states["interactions"] == 2
    assert len(row.visits) == 1


def test_the_first_record_of_a_key_begins_its_state() -> None:
    visitors = Visitors()
    visitors.click(interaction("e1"))
    assert visitors.taken.is_new
    visitors.click(interaction("e2"))
    assert not visitors.taken.is_new


def test_a_new_item_includes_all_that_lies_before_the_job_and_its_own_offsets() -> None:
    step, memory = ItemStep(Policies(), {0: -1, 1: 7}), Memory()
    taken = step.take(bundle_of(interaction(item="book")), memory)
    assert taken.blob is not None
    assert step.row_in(taken.blob).offsets == {0: 0, 1: 7}
