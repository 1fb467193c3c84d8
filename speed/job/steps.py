"""One step of each keyed operator, without Flink: bytes in, state moved on, and what follows from it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from domain.admission import screen
from domain.hops import to_hop
from domain.policies import Policies
from domain.rows import Row, decode_row
from domain.states import Admitted, ItemState, VisitorState, encoded_row
from schemas.errors import Reason, RejectedEvent
from schemas.events import DeadLetter, encode
from schemas.topics import KAFKA_RECORD_BYTES_MAX
from speed.job.records import (
    DEAD_LETTER,
    ITEM_HOP,
    ITEM_ROW,
    VISITOR_ROW,
    SourceRecord,
    Tag,
    encode_hop,
    pack_record,
    read_bundle,
    read_source,
)

RAW_BYTES_MAX: Final = KAFKA_RECORD_BYTES_MAX
"""A dead letter keeps so much of its record, key and value: all of it, but of one that came in compressed."""

DETAIL_MAX: Final = 1_024

ADMITTED: Final = "admitted"
LATE: Final = "late"
DUPLICATE: Final = "duplicate"
COUNTED: Final = (ADMITTED, LATE, DUPLICATE, *Reason)
"""All that is counted: what became of a record. A late one was admitted too."""


class KeyedBytes(Protocol):
    """The state of the current key, as bytes; None when it has none."""

    def value(self) -> bytes | None: ...

    def update(self, blob: bytes, /) -> None: ...

    def clear(self) -> None: ...


class Taken(NamedTuple):
    """What follows from one record.

    `blob` is the key's state now, None when the record touches none; `rest` are packed records of other topics. The key
    `is_new` when it had no state before. `counted` are members of COUNTED.
    """

    key: bytes
    received_at_ms: int
    blob: bytes | None
    rest: bytes
    is_new: bool
    counted: tuple[str, ...]


def refused(record: SourceRecord, letter: bytes, reason: Reason) -> Taken:
    """What follows from a record that is nobody's."""
    return Taken(b"", record.stamp.received_at_ms, blob=None, rest=letter, is_new=False, counted=(reason,))


class VisitorStep:
    """Screens a record, lets the visitor's state observe it, and says what follows.

    A duplicate and a flood move the row's offset, so their row leaves too: parity compares rows at their offsets.
    """

    row_tag: Final[Tag] = VISITOR_ROW

    def __init__(self, policies: Policies, topic: str) -> None:
        self._policies = policies
        self._topic = topic

    def take(self, raw: bytes, state: KeyedBytes) -> Taken:
        """Take one packed Kafka record: visitor row, item hop, dead letter, each when there is one."""
        record = read_source(raw)
        try:
            if record.value is None:
                raise RejectedEvent(Reason.MALFORMED, "", "no value: interactions cannot be deleted by a tombstone")
            event = screen(record.key_text, record.value, record.stamp, self._policies.admission)
        except RejectedEvent as rejection:
            return refused(record, self._dead_letter(record, rejection), rejection.reason)
        before = state.value()
        visitor = VisitorState.load(before, self._policies)
        rest = b""
        counted: tuple[str, ...] = (DUPLICATE,)
        try:
            outcome = visitor.observe(event, record.stamp)
        except RejectedEvent as rejection:
            rest, counted = self._dead_letter(record, rejection), (rejection.reason,)
        else:
            if isinstance(outcome, Admitted):
                hop = encode_hop(to_hop(outcome.fact, record.stamp))
                rest = pack_record(ITEM_HOP, event.item_id.encode(), hop)
                counted = (ADMITTED, LATE) if outcome.is_late else (ADMITTED,)
        blob = visitor.dump()
        state.update(blob)
        key, at_ms = event.visitor_id.encode(), record.stamp.received_at_ms
        return Taken(key, at_ms, blob, rest, before is None, counted)

    def row_in(self, blob: bytes) -> Row:
        """The row of a state."""
        return VisitorState.load(blob, self._policies).row

    def encoded_row(self, blob: bytes) -> bytes:
        """The same as a changelog value."""
        return encoded_row(blob)

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
    """Adds a bundle of admitted facts to their item's state, which is the row.

    A new state includes all offsets up to those `before` the job (see `speed.job.beginning`).
    """

    row_tag: Final[Tag] = ITEM_ROW

    def __init__(self, policies: Policies, before: Mapping[int, int] | None = None) -> None:
        self._policies = policies
        self._before = dict(before or {})

    def take(self, raw: bytes, state: KeyedBytes) -> Taken:
        """Take one bundle of hops: the item's row, and nothing else."""
        bundle = read_bundle(raw)
        before = state.value()
        item = ItemState.load(before, self._policies)
        if before is None:
            item.begin(self._before)
        item.add_hops(bundle.hops)
        blob = item.dump()
        state.update(blob)
        newest_at_ms = max([hop.received_at_ms for hop in bundle.hops])
        return Taken(bundle.key, newest_at_ms, blob, b"", before is None, ())

    def row_in(self, blob: bytes) -> Row:
        """The row of a state."""
        return decode_row(blob)

    def encoded_row(self, blob: bytes) -> bytes:
        """The same as a changelog value."""
        return blob
