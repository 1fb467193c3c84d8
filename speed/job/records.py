"""The bytes at the border between Flink's JVM and Python: a Kafka record comes in, a frame of records goes out.

Between the two, in the JVM, the hops of an item are bundled. The other side is `RecordDeserializer`, `Frame` and
`HopBundler` in `java/firth`.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, Literal

import msgspec

from domain.facts import Stamp
from domain.hops import Hop

_SOURCE_HEAD: Final = Struct("<qiqii")
_FRAME_HEAD: Final = Struct("<BII")

VISITOR_ROW: Final = 1
ITEM_HOP: Final = 2
DEAD_LETTER: Final = 3
ITEM_ROW: Final = 4
Tag = Literal[1, 2, 3, 4]
"""What a record of a frame is; the topology names the sink of each."""

TOMBSTONE: Final = 0x80
"""Added to a tag: the record is a tombstone, and its value is the tombstone's header (see `speed.tombstones`)."""


class SourceRecord(msgspec.Struct, frozen=True):
    """A record of Kafka, whole. `key` and `value` are None where the record has none."""

    stamp: Stamp
    key: bytes | None
    value: bytes | None

    @property
    def key_text(self) -> str:
        """The key as text; one that is absent or no UTF-8 is empty, which no visitor is called."""
        try:
            return (self.key or b"").decode()
        except UnicodeDecodeError:
            return ""


def read_source(raw: bytes) -> SourceRecord:
    """The record that the deserializer packed."""
    received_at_ms, partition, offset, key_bytes, value_bytes = _SOURCE_HEAD.unpack_from(raw)
    start = _SOURCE_HEAD.size
    middle = start + max(key_bytes, 0)
    key = raw[start:middle] if key_bytes >= 0 else None
    value = raw[middle:] if value_bytes >= 0 else None
    return SourceRecord(Stamp(received_at_ms, partition, offset), key, value)


def pack_source(record: SourceRecord) -> bytes:
    """The inverse of `read_source`: what the deserializer does, for tests without a JVM."""
    key_bytes = -1 if record.key is None else len(record.key)
    value_bytes = -1 if record.value is None else len(record.value)
    stamp = record.stamp
    head = _SOURCE_HEAD.pack(stamp.received_at_ms, stamp.partition, stamp.offset, key_bytes, value_bytes)
    return b"".join((head, record.key or b"", record.value or b""))


def pack_record(tag: int, key: bytes, value: bytes) -> bytes:
    """One record of a frame; a frame is the concatenation of its records, in any number."""
    return b"".join((_FRAME_HEAD.pack(tag, len(key), len(value)), key, value))


def read_frame(frame: bytes) -> list[tuple[int, bytes, bytes]]:
    """(tag, key, value) of each record: what the splitter does, for tests without a JVM."""
    found, at = [], 0
    while at < len(frame):
        tag, key_bytes, value_bytes = _FRAME_HEAD.unpack_from(frame, at)
        middle = at + _FRAME_HEAD.size + key_bytes
        at = middle + value_bytes
        found.append((tag, frame[middle - key_bytes : middle], frame[middle:at]))
    return found


class Bundle(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hops of one item, in the order in which they came; the item's key is UTF-8."""

    key: bytes
    hops: list[Hop]


_BUNDLES = msgspec.msgpack.Decoder(Bundle)
_ENCODER = msgspec.msgpack.Encoder()


def encode_hop(hop: Hop) -> bytes:
    """The bytes of a hop, to which those of the item's next hop can be appended."""
    return _ENCODER.encode(hop)


def read_bundle(raw: bytes) -> Bundle:
    """The hops that the bundler put together."""
    return _BUNDLES.decode(raw)


def pack_bundle(key: bytes, hops: Sequence[bytes]) -> bytes:
    """What the bundler makes of encoded hops, for tests without a JVM."""
    return _ENCODER.encode((key, [msgspec.Raw(hop) for hop in hops]))
