"""One feature value to the bytes of Feast's `Value` message.

Framed by hand: a message of protobuf's C runtime costs two microseconds to make, a row has fifty of them, and most
hold one small number or words that recur in row after row. Long lists of large integers are left to the C runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from domain.aggregates import ColumnType
from feature_repo.layout.wire import (
    DOUBLE,
    FLOAT_TAG,
    FLOATS_TAG,
    INT64_MAX,
    INT64_MIN,
    INT_TAG,
    INTS_TAG,
    LISTS_TAG,
    MEMBER_TAG,
    STRING_TAG,
    STRINGS_TAG,
    DoubleList,
    Int64List,
)

Encoder = Callable[[Any], bytes]

MEMBERS_MAX: Final = 1 << 16
"""Strings whose frames are remembered: categories, kinds, and the items that are popular now."""

HEADS_MAX: Final = 1 << 14
_SMALL: Final = 1 << 14
_LOW: Final = _SMALL - 1


def _by_steps(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


_VARINTS: Final = tuple(map(_by_steps, range(_SMALL)))
_GROUPS: Final = tuple(bytes((number & 0x7F | 0x80, number >> 7 | 0x80)) for number in range(_SMALL))
"""The lowest 14 bits of a number that has higher ones."""


def varint(number: int) -> bytes:
    """An integer of 64 bits as protobuf writes it, a negative one as its two's complement.

    Raises:
        ValueError: it has more than 64 bits.
    """
    if 0 <= number < _SMALL:
        return _VARINTS[number]
    if not INT64_MIN <= number <= INT64_MAX:
        raise ValueError("an integer must fit 64 bits")
    number &= (1 << 64) - 1
    out = _GROUPS[number & _LOW]
    number >>= 14
    while number >= _SMALL:
        out += _GROUPS[number & _LOW]
        number >>= 14
    return out + _VARINTS[number]


def encode_int(number: int) -> bytes:
    return INT_TAG + varint(number)


def encode_float(number: float) -> bytes:
    return FLOAT_TAG + DOUBLE.pack(number)


def encode_string(text: str) -> bytes:
    raw = text.encode()
    return STRING_TAG + varint(len(raw)) + raw


_EMPTY_INTS: Final = INTS_TAG + b"\x00"


def encode_ints(numbers: Sequence[int]) -> bytes:
    if len(numbers) == 1:
        packed = varint(numbers[0])
    elif not numbers:
        return _EMPTY_INTS
    else:
        packed = _small(numbers) if 0 <= numbers[0] < 128 else b""
        if not packed:
            body: bytes = Int64List(val=numbers).SerializeToString()
            return _INTS_HEADS[len(body)] + body
    return _PACKED_INTS_HEADS[len(packed)] + packed


def _small(numbers: Sequence[int]) -> bytes:
    """Numbers of which each is its own varint; no bytes where one is not."""
    try:
        packed = bytes(numbers)
    except ValueError:
        return b""
    return packed if packed.isascii() else b""


def encode_floats(numbers: Sequence[float]) -> bytes:
    body: bytes = DoubleList(val=numbers).SerializeToString()
    return _FLOATS_HEADS[len(body)] + body


class _Members(dict[str, bytes]):
    """A string as a member of a list message; found again without a step in Python."""

    def __missing__(self, text: str) -> bytes:
        raw = text.encode()
        framed = MEMBER_TAG + varint(len(raw)) + raw
        if len(self) >= MEMBERS_MAX:
            self.clear()
        self[text] = framed
        return framed


_member = _Members().__getitem__


def encode_strings(texts: Sequence[str]) -> bytes:
    body = b"".join(map(_member, texts))
    return _STRINGS_HEADS[len(body)] + body


class _Heads(dict[int, bytes]):
    """What stands before so many bytes: a tag and their number, perhaps inside of another such frame."""

    def __init__(self, tag: bytes, within: Mapping[int, bytes] | None = None) -> None:
        super().__init__()
        self._tag = tag
        self._within = within

    def __missing__(self, size: int) -> bytes:
        head = self._tag + varint(size)
        if self._within is not None:
            head = self._within[len(head) + size] + head
        if size < HEADS_MAX:
            self[size] = head
        return head


_INTS_HEADS: Final = _Heads(INTS_TAG)
_FLOATS_HEADS: Final = _Heads(FLOATS_TAG)
_STRINGS_HEADS: Final = _Heads(STRINGS_TAG)
_LISTS_HEADS: Final = _Heads(LISTS_TAG)
_PACKED_INTS_HEADS: Final = _Heads(MEMBER_TAG, _INTS_HEADS)
_PACKED_FLOATS_HEADS: Final = _Heads(MEMBER_TAG, _FLOATS_HEADS)

# The same as members of a list of lists.
_MEMBER_HEADS: Final = _Heads(MEMBER_TAG)
_INTS_MEMBER_HEADS: Final = _Heads(INTS_TAG, _MEMBER_HEADS)
_STRINGS_MEMBER_HEADS: Final = _Heads(STRINGS_TAG, _MEMBER_HEADS)
_PACKED_INTS_MEMBER_HEADS: Final = _Heads(MEMBER_TAG, _INTS_MEMBER_HEADS)

_EMPTY_MEMBER: Final = MEMBER_TAG + b"\x00"
"""Feast keeps an empty inner list as an empty `Value`, which has no type and reads back as None."""


def _ints_member(numbers: Sequence[int]) -> bytes:
    if len(numbers) == 1:
        packed = varint(numbers[0])
    elif not len(numbers):
        return _EMPTY_MEMBER
    else:
        packed = _small(numbers) if 0 <= numbers[0] < 128 else b""
        if not packed:
            body: bytes = Int64List(val=numbers).SerializeToString()
            return _INTS_MEMBER_HEADS[len(body)] + body
    return _PACKED_INTS_MEMBER_HEADS[len(packed)] + packed


def _strings_member(texts: Sequence[str]) -> bytes:
    if not len(texts):
        return _EMPTY_MEMBER
    body = b"".join(map(_member, texts))
    return _STRINGS_MEMBER_HEADS[len(body)] + body


def _nested(encode_member: Encoder) -> Encoder:
    def encode_lists(lists: Sequence[Sequence[Any]]) -> bytes:
        body = b"".join(map(encode_member, lists))
        return _LISTS_HEADS[len(body)] + body

    return encode_lists


_ENCODERS: Final[dict[ColumnType, Encoder]] = {
    ColumnType.INT: encode_int,
    ColumnType.FLOAT: encode_float,
    ColumnType.STRING: encode_string,
    ColumnType.INTS: encode_ints,
    ColumnType.FLOATS: encode_floats,
    ColumnType.STRINGS: encode_strings,
    ColumnType.INT_LISTS: _nested(_ints_member),
    ColumnType.STRING_LISTS: _nested(_strings_member),
}


def encoder_of(column_type: ColumnType) -> Encoder:
    """The function that frames values of one type. None is not a value: it is stored as no bytes."""
    return _ENCODERS[column_type]


class BucketColumn(NamedTuple):
    """How cells of one type become a cell of the list type with one member a bucket.

    The members of successive buckets, joined, stand behind the head for so many bytes.
    """

    encode_member: Encoder
    heads: Mapping[int, bytes]


_BUCKET_COLUMNS: Final[dict[ColumnType, BucketColumn]] = {
    ColumnType.INT: BucketColumn(varint, _PACKED_INTS_HEADS),
    ColumnType.FLOAT: BucketColumn(DOUBLE.pack, _PACKED_FLOATS_HEADS),
    ColumnType.STRING: BucketColumn(_member, _STRINGS_HEADS),
    ColumnType.INTS: BucketColumn(_ints_member, _LISTS_HEADS),
    ColumnType.STRINGS: BucketColumn(_strings_member, _LISTS_HEADS),
}


def bucket_column_of(column_type: ColumnType) -> BucketColumn:
    """How cells of this type, one a bucket, become one cell of `column_type.per_bucket`; there is at least one."""
    return _BUCKET_COLUMNS[column_type]


def encode_timestamp_ms(at_ms: int) -> bytes:
    """`google.protobuf.Timestamp` of an instant at or after 1970."""
    seconds, rest_ms = divmod(at_ms, 1_000)
    head = b"\x08" + varint(seconds) if seconds else b""
    return head + b"\x10" + varint(rest_ms * 1_000_000) if rest_ms else head
