"""One feature value from the bytes of Feast's `Value` message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from feature_repo.layout.wire import (
    DOUBLE,
    FLOAT_TAG,
    FLOATS_TAG,
    INT64_MAX,
    INT_TAG,
    INTS_TAG,
    LISTS_TAG,
    STRING_TAG,
    STRINGS_TAG,
    DoubleList,
    Int64List,
    RepeatedBytes,
    StringList,
)


def _skip_varint(raw: bytes, at: int) -> int:
    while raw[at] > 0x7F:
        at += 1
    return at + 1


def _decode_int(raw: bytes) -> int:
    number = shift = 0
    for byte in raw[1:]:
        number |= (byte & 0x7F) << shift
        shift += 7
    return number if number <= INT64_MAX else number - (1 << 64)


def _decode_float(raw: bytes) -> float:
    number: float = DOUBLE.unpack_from(raw, 1)[0]
    return number


def _decode_string(raw: bytes) -> str:
    return raw[_skip_varint(raw, 1) :].decode()


def _decode_ints(raw: bytes) -> list[int]:
    size = len(raw)
    if 4 < size < 0x82 and raw[1] == size - 2 and raw[3] == size - 4 and raw[4:].isascii():
        return list(raw[4:])  # both lengths are one byte, and each number is
    numbers: list[int] = Int64List.FromString(raw[_skip_varint(raw, 1) :]).val[:]
    return numbers


def _decode_floats(raw: bytes) -> list[float]:
    numbers: list[float] = DoubleList.FromString(raw[_skip_varint(raw, 1) :]).val[:]
    return numbers


def _decode_strings(raw: bytes) -> list[str]:
    texts: list[str] = StringList.FromString(raw[_skip_varint(raw, 1) :]).val[:]
    return texts


def _decode_lists(raw: bytes) -> list[Any]:
    """A typeless inner value is an empty list: Firth stores no nulls inside lists."""
    members = RepeatedBytes.FromString(raw[_skip_varint(raw, 2) :]).val
    return [_DECODERS[member[0]](member) if member else [] for member in members]


_DECODERS: Final[dict[int, Callable[[bytes], Any]]] = {
    STRING_TAG[0]: _decode_string,
    INT_TAG[0]: _decode_int,
    FLOAT_TAG[0]: _decode_float,
    STRINGS_TAG[0]: _decode_strings,
    INTS_TAG[0]: _decode_ints,
    FLOATS_TAG[0]: _decode_floats,
    LISTS_TAG[0]: _decode_lists,
}


def decode_value(raw: bytes | None) -> Any:
    """The Python value of an encoded `Value`; None where there is no row, no field or a null.

    Raises:
        KeyError: the bytes hold a type that Firth never stores.
        IndexError, struct.error, DecodeError, UnicodeDecodeError: the bytes are no `Value`.
    """
    return _DECODERS[raw[0]](raw) if raw else None


def decode_timestamp_ms(raw: bytes) -> int:
    """The instant in milliseconds; what is finer is cut off."""
    parts = {0x08: 0, 0x10: 0}
    at = 0
    while at < len(raw):
        end = _skip_varint(raw, at + 1)
        parts[raw[at]] = _decode_int(raw[at:end])
        at = end
    return parts[0x08] * 1_000 + parts[0x10] // 1_000_000
