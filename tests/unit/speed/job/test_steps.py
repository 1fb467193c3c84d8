"""The keyed steps as Flink runs them, over plain memory. In speed environment and main environment alike."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pytest

from domain.policies import AdmissionPolicy, Policies
from domain.states import decode_row
from schemas.errors import Reason
from schemas.events import DeadLetter, InteractionEvent, decode, encode
from speed.job.records import DEAD_LETTER, ITEM_HOP, ITEM_ROW, VISITOR_ROW, SourceRecord, pack_source, read_frame
from speed.job.steps import RAW_BYTES_MAX, ItemStep, VisitorStep
from tests.builders import START_MS, interaction, stamp

KAFKA_RECORD_MAX = 1_048_588


@dataclass
class Memory:
    """The state of one key."""

    blob: bytes | None = None

    def value(self) -> bytes | None:
        return self.blob

    def update(self, blob: bytes) -> None:
        self.blob = blob


class Visitors:
    """A visitor step with the state of one key under it."""

    def __init__(self, policies: Policies | None = None) -> None:
        self.memory = Memory()
        self._step = VisitorStep(policies or Policies(), "interactions")
        self._offset = 0

    def send(self, value: bytes | None, *, key: bytes | None = b"ada") -> dict[int, tuple[bytes, bytes]]:
        record = SourceRecord(stamp(offset=self._offset), key, value)
        self._offset += 1
        return {tag: (key, value) for tag, key, value in read_frame(self._step.take(pack_source(record), self.memory))}

    def click(self, event: InteractionEvent) -> dict[int, tuple[bytes, bytes]]:
        return self.send(encode(event), key=event.visitor_id.encode())


def letter(sent: dict[int, tuple[bytes, bytes]]) -> DeadLetter:
    return decode(DeadLetter, sent[DEAD_LETTER][1])


def test_an_admitted_click_leaves_as_a_visitor_row_and_hops_to_its_item() -> None:
    sent = Visitors().click(interaction(item="😀"))
    assert sent.keys() == {VISITOR_ROW, ITEM_HOP}
    assert sent[VISITOR_ROW][0] == b"ada"
    assert sent[ITEM_HOP][0] == "😀".encode()
    assert decode_row(sent[VISITOR_ROW][1]).offsets == {0: 0}


def test_the_hop_becomes_the_row_of_the_item() -> None:
    hop = Visitors().click(interaction(item="book"))[ITEM_HOP][1]
    ((tag, key, value),) = read_frame(ItemStep(Policies()).take(hop, Memory()))
    assert (tag, key) == (ITEM_ROW, b"book")
    assert decode_row(value).buckets[0].states["counts"] == {"view": 1}


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


def test_the_dead_letter_of_a_huge_record_fits_into_kafka_and_says_that_it_was_cut() -> None:
    sent = Visitors().send(b"x" * 1_048_000)
    assert len(sent[DEAD_LETTER][1]) < KAFKA_RECORD_MAX
    assert len(base64.b64decode(letter(sent).raw_base64)) == RAW_BYTES_MAX
    assert "only the first" in letter(sent).detail


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
