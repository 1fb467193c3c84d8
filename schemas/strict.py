"""Patterns of texts, checked only where a text can break them.

A JSON text cannot hold a control character as it is, only as an escape: where there is no backslash, none of our
patterns can be broken, and matching each text of each event costs more than all the rest of decoding it. So the events
name their patterns for the JSON Schemas only, and `strict` makes of a type its twin that checks them.
"""

from __future__ import annotations

from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta

NO_CONTROL: Final = r"^[^\x00-\x1f]+$"


def text(max_length: int) -> Meta:
    """A text of 1 to `max_length` characters, none of them a control character."""
    return Meta(min_length=1, max_length=max_length, extra_json_schema={"pattern": NO_CONTROL})


@cache
def strict(kind: Any) -> Any:
    """The same type, but its texts are matched with their patterns when it is decoded."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner, *notes = parts
        return Annotated[(strict(inner), *map(_strict_note, notes))]
    if origin in (Union, UnionType):
        return Union[tuple(part if part is NoneType else strict(part) for part in parts)]  # noqa: UP007
    if origin in (tuple, dict):
        return origin[tuple(part if part is Ellipsis else strict(part) for part in parts)]
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _strict_struct(kind)
    return kind


def _strict_note(note: Any) -> Any:
    if not isinstance(note, Meta) or not (note.extra_json_schema or {}).get("pattern"):
        return note
    return Meta(min_length=note.min_length, max_length=note.max_length, pattern=NO_CONTROL)


def _strict_struct(kind: type[msgspec.Struct]) -> type[msgspec.Struct]:
    hints = get_type_hints(kind, include_extras=True)
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        shape = strict(hints[field.name])
        if field.default is NODEFAULT and field.default_factory is NODEFAULT:
            fields.append((field.name, shape))
        else:
            default = msgspec.field(default_factory=field.default_factory)
            if field.default is not NODEFAULT:
                default = None if isinstance(field.default, msgspec.Struct) else field.default
            fields.append((field.name, shape, default))
    return msgspec.defstruct(kind.__name__, fields, kw_only=True, forbid_unknown_fields=True)
