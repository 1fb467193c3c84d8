"""Where Feast puts a row: the hash key of an entity (serialization version 3) and the field of each feature."""

from __future__ import annotations

import struct
from typing import Final

import mmh3

_STRING_TYPE: Final = 2  # feast.types.ValueType.STRING
_UINT32: Final = struct.Struct("<I")


class EntityKeys:
    """Keys of an entity that has one string join key, in one Feast project.

    Redis has one hash an entity: `key(value)`. Cassandra has a partition an entity: `partition(value)`, the same bytes
    without the project (which is in the table's name) in hexadecimal.
    """

    __slots__ = ("_head", "_project")

    def __init__(self, project: str, join_key: str) -> None:
        name = join_key.encode()
        self._project = project.encode()
        self._head = b"".join(
            (
                _UINT32.pack(1),  # the number of join keys
                _UINT32.pack(_STRING_TYPE),
                _UINT32.pack(len(name)),
                name,
                _UINT32.pack(_STRING_TYPE),
            )
        )

    def key(self, value: str) -> bytes:
        """The Redis key of the entity."""
        raw = value.encode()
        return b"".join((self._head, _UINT32.pack(len(raw)), raw, self._project))

    def partition(self, value: str) -> str:
        """The Cassandra `entity_key` of the entity."""
        raw = value.encode()
        return b"".join((self._head, _UINT32.pack(len(raw)), raw)).hex()

    def value(self, key: bytes) -> str | None:
        """The join value in a Redis key; None when the key is another entity's or project's, or none of Feast's."""
        start = len(self._head) + 4
        if not key.startswith(self._head) or len(key) < start:
            return None
        (length,) = _UINT32.unpack_from(key, start - 4)
        if key[start + length :] != self._project:
            return None
        return key[start : start + length].decode()


def field_key(view: str, feature: str) -> bytes:
    """The hash field of a feature: murmur3, 32 bits, little endian, of `view:feature`."""
    return _UINT32.pack(mmh3.hash(f"{view}:{feature}", signed=False))


def timestamp_field(view: str) -> bytes:
    """The hash field that holds the event time of a view's row."""
    return b"_ts:" + view.encode()


def table_name(project: str, view: str) -> str:
    """The Cassandra table of a view. Without the suffix it is the stock one, with a row for each feature."""
    return f"{project}_{view}_rows"
