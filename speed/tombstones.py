"""What a tombstone on a changelog says: up to where the state that is gone had read.

A row that begins anew may include less than the one in the store (an item draws from several partitions), and would
never be written over it. A tombstone therefore removes the stored row, and its header keeps that safe: only a row that
the gone state covers is removed, so a tombstone that comes twice or late removes nothing that is newer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

HEADER: Final = "offsets"
"""The record header of a tombstone: partition to newest offset, as MessagePack."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(dict[int, int])


def encode_offsets(offsets: Mapping[int, int]) -> bytes:
    """The bytes of the header."""
    return _ENCODER.encode(dict(sorted(offsets.items())))


def decode_offsets(raw: bytes) -> dict[int, int]:
    """The inverse of `encode_offsets`. Raises msgspec.MsgspecError when it is none."""
    return _DECODER.decode(raw)
