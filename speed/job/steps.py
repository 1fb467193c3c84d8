"""One step of each keyed operator, without Flink: bytes in, state moved on, a frame of bytes out."""

from __future__ import annotations

import base64
from typing import Final, Protocol

from domain.admission import screen
from domain.policies import Policies
from domain.states import Admitted, ItemState, VisitorState, encode_row
from schemas.errors import Reason, RejectedEvent
from schemas.events import DeadLetter, encode
from schemas.topics import KAFKA_RECORD_BYTES_MAX
from speed.job.records import (
    DEAD_LETTER,
    ITEM_HOP,
    ITEM_ROW,
    VISITOR_ROW,
    Hop,
    SourceRecord,
    decode_hop,
    encode_hop,
    pack_record,
    read_source,
)

RAW_BYTES_MAX: Final = KAFKA_RECORD_BYTES_MAX
"""A dead letter keeps so much of its record, key and value: all of it, but of one that came in compressed."""

DETAIL_MAX: Final = 1_024


class KeyedBytes(Protocol):
    """The state of the current key, as bytes; None when it has none."""

    def value(self) -> bytes | None: ...

    def update(self, blob: bytes, /) -> None: ...


class VisitorStep:
    """Screens a record, lets the visitor's state observe it, and says what follows.

    A duplicate and a flood move the row's offset, so their row leaves too: parity compares rows at their offsets.
    """

    def __init__(self, policies: Policies, topic: str) -> None:
        self._policies = policies
        self._topic = topic

    def take(self, raw: bytes, state: KeyedBytes) -> bytes:
        """The frame of one packed Kafka record: visitor row, item hop, dead letter, each when there is one."""
        record = read_source(raw)
        try:
            if record.value is None:
                raise RejectedEvent(Reason.MALFORMED, "", "no value: interactions cannot be deleted by a tombstone")
            event = screen(record.key_text, record.value, record.stamp, self._policies.admission)
        except RejectedEvent as rejection:
            return self._dead_letter(record, rejection)
        visitor = VisitorState.load(state.value(), self._policies)
        after = b""
        try:
            outcome = visitor.observe(event, record.stamp)
        except RejectedEvent as rejection:
            after = self._dead_letter(record, rejection)
        else:
            if isinstance(outcome, Admitted):
                hop = Hop(outcome.fact, record.stamp)
                after = pack_record(ITEM_HOP, event.item_id.encode(), encode_hop(hop))
        state.update(visitor.dump())
        return pack_record(VISITOR_ROW, event.visitor_id.encode(), encode_row(visitor.row)) + after

    def _dead_letter(self, record: SourceRecord, rejection: RejectedEvent) -> bytes:
        stamp, detail = record.stamp, str(rejection)[:DETAIL_MAX]
        key, raw = None if record.key is None else record.key[:RAW_BYTES_MAX], record.value or b""
        raw_max = RAW_BYTES_MAX - len(key or b"")
        if len(raw) > raw_max or key != record.key:
            cut = f"; of {len(record.key or b'')} + {len(raw)} bytes only the first {RAW_BYTES_MAX} are kept"
            detail = f"{detail[: DETAIL_MAX - len(cut)]}{cut}"
        letter = DeadLetter(
            reason=rejection.reason,
            detail=detail,
            topic=self._topic,
            partition=stamp.partition,
            offset=stamp.offset,
            received_at_ms=max(stamp.received_at_ms, 0),
            raw_base64=base64.b64encode(raw[:raw_max]).decode(),
            key_base64=None if key is None else base64.b64encode(key).decode(),
        )
        return pack_record(DEAD_LETTER, f"{stamp.partition}:{stamp.offset}".encode(), encode(letter))


class ItemStep:
    """Adds an admitted fact to its item's state and sends the row on."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    def take(self, raw: bytes, state: KeyedBytes) -> bytes:
        """The frame of one hop: the item's row."""
        hop = decode_hop(raw)
        item = ItemState.load(state.value(), self._policies)
        item.add(hop.fact, hop.stamp)
        blob = item.dump()
        state.update(blob)
        return pack_record(ITEM_ROW, hop.fact.item_id.encode(), blob)
