"""What is known of `feast/types/Value.proto`: its tags and its list messages, declared here without importing Feast.

The messages live in a descriptor pool of their own: the wire format depends on field numbers and types only, so the
bytes are Feast's, and the C runtime of protobuf makes long lists about five times faster than a loop in Python.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

# Field numbers of feast.types.Value, each shifted over its wire type.
STRING_TAG: Final = b"\x12"  # string_val = 2
INT_TAG: Final = b"\x20"  # int64_val = 4
FLOAT_TAG: Final = b"\x29"  # double_val = 5
STRINGS_TAG: Final = b"\x62"  # string_list_val = 12
INTS_TAG: Final = b"\x72"  # int64_list_val = 14
FLOATS_TAG: Final = b"\x7a"  # double_list_val = 15
LISTS_TAG: Final = b"\xd2\x02"  # list_val = 42
MEMBER_TAG: Final = b"\x0a"  # val = 1 of every list message

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1
DOUBLE: Final = struct.Struct("<d")

_PACKAGE: Final = "firth.feast"
_REPEATED_TYPES: Final = {
    "Int64List": FieldDescriptorProto.TYPE_INT64,
    "StringList": FieldDescriptorProto.TYPE_STRING,
    "DoubleList": FieldDescriptorProto.TYPE_DOUBLE,
    "RepeatedBytes": FieldDescriptorProto.TYPE_BYTES,
}


def _declare() -> DescriptorPool:
    """Every list message of Feast is `repeated T val = 1`; inner values of a nested list are read as raw bytes."""
    file = FileDescriptorProto(name="firth/feast_value.proto", package=_PACKAGE, syntax="proto3")
    for name, kind in _REPEATED_TYPES.items():
        message = file.message_type.add(name=name)
        message.field.add(name="val", number=1, type=kind, label=FieldDescriptorProto.LABEL_REPEATED)
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return pool


_POOL: Final = _declare()


def _message(name: str) -> Any:
    return GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Int64List: Final = _message("Int64List")
StringList: Final = _message("StringList")
DoubleList: Final = _message("DoubleList")
RepeatedBytes: Final = _message("RepeatedBytes")
"""`RepeatedValue` of Feast, with its members left encoded."""
