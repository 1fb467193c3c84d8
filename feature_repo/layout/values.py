"""One feature value to and from the bytes of Feast's `Value` message.

Scalars are framed by hand, lists by protobuf's C runtime; a list of small integers is its own wire format.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from domain.aggregates import ColumnType
from feature_repo.layout.wire import DoubleList, Int64List, RepeatedBytes, StringList

Encoder = Callable[[Any], bytes]


# Field numbers of feast.types.Value, each shifted over its wire type.
_STRING_TAG: Final = b"\x12"  # string_val = 2
_INT_TAG: Final = b"\x20"  # int64_val = 4
_FLOAT_TAG: Final = b"\x29"  # double_val = 5
_STRINGS_TAG: Final = b"\x62"  # string_list_val = 12
_INTS_TAG: Final = b"\x72"  # int64_list_val = 14
_FLOATS_TAG: Final = b"\x7a"  # double_list_val = 15
_LISTS_TAG: Final = b"\xd2\x02"  # list_val = 42
_MEMBER_TAG: Final = b"\x0a"  # val = 1 of every list message

_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1
_RECURRING_MAX: Final = 4
_DOUBLE: Final = struct.Struct("<d")


def _long_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS: Final = tuple(_long_varint(number) for number in range(16_384))


def _varint(number: int) -> bytes:
    return _VARINTS[number] if number < 16_384 else _long_varint(number)


def encode_int(number: int) -> bytes:
    if 0 <= number < 16_384:
        return _INT_TAG + _VARINTS[number]
    if not _INT64_MIN <= number <= _INT64_MAX:
        raise ValueError("an integer must fit 64 bits")
    return _INT_TAG + _long_varint(number if number >= 0 else number + (1 << 64))


def encode_float(number: float) -> bytes:
    return _FLOAT_TAG + _DOUBLE.pack(number)


def encode_string(text: str) -> bytes:
    raw = text.encode()
    return _STRING_TAG + _varint(len(raw)) + raw


def encode_ints(numbers: Sequence[int]) -> bytes:
    if not numbers:
        return b"\x72\x00"
    if 0 <= numbers[0] < 128:  # perhaps all are, and then they are their own varints
        try:
            packed = bytes(numbers)
        except ValueError:
            packed = b"\xff"
        if packed.isascii():
            return _framed_ints(_MEMBER_TAG + _varint(len(packed)) + packed)
    return _framed_ints(Int64List(val=numbers).SerializeToString())


def _framed_ints(body: bytes) -> bytes:
    return _INTS_TAG + _varint(len(body)) + body


def encode_floats(numbers: Sequence[float]) -> bytes:
    body: bytes = DoubleList(val=numbers).SerializeToString()
    return _FLOATS_TAG + _varint(len(body)) + body


def encode_strings(texts: Sequence[str]) -> bytes:
    body: bytes = StringList(val=texts).SerializeToString()
    return _STRINGS_TAG + _varint(len(body)) + body


def encode_int_lists(lists: Sequence[Sequence[int]]) -> bytes:
    return _nested([encode_ints(members) if members else b"" for members in lists])


def encode_string_lists(lists: Sequence[Sequence[str]]) -> bytes:
    return _nested([_encode_members(members) for members in lists])


def _encode_members(members: Sequence[str]) -> bytes:
    """The keys of histograms are short lists from small vocabularies: they recur in row after row."""
    if len(members) <= _RECURRING_MAX:
        return _encode_recurring(tuple(members)) if members else b""
    return encode_strings(members)


@lru_cache(maxsize=1 << 16)
def _encode_recurring(members: tuple[str, ...]) -> bytes:
    return encode_strings(members)


def _nested(members: list[bytes]) -> bytes:
    """Feast keeps an empty inner list as an empty `Value`, which has no type and reads back as None."""
    body: bytes = RepeatedBytes(val=members).SerializeToString()
    return _LISTS_TAG + _varint(len(body)) + body


_ENCODERS: Final[dict[ColumnType, Encoder]] = {
    ColumnType.INT: encode_int,
    ColumnType.FLOAT: encode_float,
    ColumnType.STRING: encode_string,
    ColumnType.INTS: encode_ints,
    ColumnType.FLOATS: encode_floats,
    ColumnType.STRINGS: encode_strings,
    ColumnType.INT_LISTS: encode_int_lists,
    ColumnType.STRING_LISTS: encode_string_lists,
}


def encoder_of(column_type: ColumnType) -> Encoder:
    """The function that frames values of one type. None is not a value: it is stored as no bytes."""
    return _ENCODERS[column_type]


def _skip_varint(raw: bytes, at: int) -> int:
    while raw[at] > 0x7F:
        at += 1
    return at + 1


def _decode_int(raw: bytes) -> int:
    number = shift = 0
    for byte in raw[1:]:
        number |= (byte & 0x7F) << shift
        shift += 7
    return number if number <= _INT64_MAX else number - (1 << 64)


def _decode_float(raw: bytes) -> float:
    number: float = _DOUBLE.unpack_from(raw, 1)[0]
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
    _STRING_TAG[0]: _decode_string,
    _INT_TAG[0]: _decode_int,
    _FLOAT_TAG[0]: _decode_float,
    _STRINGS_TAG[0]: _decode_strings,
    _INTS_TAG[0]: _decode_ints,
    _FLOATS_TAG[0]: _decode_floats,
    _LISTS_TAG[0]: _decode_lists,
}


def decode_value(raw: bytes | None) -> Any:
    """The Python value of an encoded `Value`; None where there is no row, no field or a null.

    Raises:
        KeyError: the bytes hold a type that Firth never stores.
        IndexError, struct.error, DecodeError, UnicodeDecodeError: the bytes are no `Value`.
    """
    return _DECODERS[raw[0]](raw) if raw else None


def encode_timestamp_ms(at_ms: int) -> bytes:
    """`google.protobuf.Timestamp` of an instant at or after 1970."""
    seconds, rest_ms = divmod(at_ms, 1_000)
    head = b"\x08" + _long_varint(seconds) if seconds else b""
    return head + b"\x10" + _long_varint(rest_ms * 1_000_000) if rest_ms else head


def decode_timestamp_ms(raw: bytes) -> int:
    """The instant in milliseconds; what is finer is cut off."""
    parts = {0x08: 0, 0x10: 0}
    at = 0
    while at < len(raw):
        end = _skip_varint(raw, at + 1)
        parts[raw[at]] = _decode_int(raw[at:end])
        at = end
    return parts[0x08] * 1_000 + parts[0x10] // 1_000_000
