"""What a filter may ask of an item: one table of fields, their types, and what may be asked of each type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from schemas.events import ItemEvent

Value = str | Decimal | bool
"""What a filter compares with."""

MICROS: Final = Decimal(10**6)


class FieldType(StrEnum):
    """What an item holds under a field."""

    TEXT = "a text"
    TEXTS = "several texts"
    NUMBER = "a number"
    ANY = "a text, a number or a truth value"


class Operator(StrEnum):
    """What may be asked. `!=` and `not in` are read as `not` before the others."""

    EQUAL = "="
    LESS = "<"
    AT_MOST = "<="
    MORE = ">"
    AT_LEAST = ">="
    IN = "in"
    HAS = "has"
    EXISTS = "exists"


ORDERING: Final = frozenset({Operator.LESS, Operator.AT_MOST, Operator.MORE, Operator.AT_LEAST})

OPERATORS: Final[Mapping[FieldType, tuple[Operator, ...]]] = {
    FieldType.TEXT: (Operator.EQUAL, Operator.IN, Operator.EXISTS),
    FieldType.TEXTS: (Operator.HAS, Operator.IN, Operator.EXISTS),
    FieldType.NUMBER: (Operator.EQUAL, *sorted(ORDERING), Operator.IN, Operator.EXISTS),
    FieldType.ANY: (Operator.EQUAL, *sorted(ORDERING), Operator.IN, Operator.EXISTS),
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the catalogue. `attribute` is the key for one of an item's attributes, else empty."""

    name: str
    type: FieldType
    attribute: str = ""


ITEM_ID: Final = Field("item_id", FieldType.TEXT)
TITLE: Final = Field("title", FieldType.TEXT)
CATEGORY: Final = Field("category", FieldType.TEXTS)
TAGS: Final = Field("tags", FieldType.TEXTS)
PRICE: Final = Field("price", FieldType.NUMBER)
PUBLISHED_AT_MS: Final = Field("published_at_ms", FieldType.NUMBER)
ATTRIBUTES: Final = "attributes"

FIELDS: Final[Mapping[str, Field]] = {
    **{field.name: field for field in (ITEM_ID, TITLE, CATEGORY, TAGS, PRICE, PUBLISHED_AT_MS)},
    "categories": CATEGORY,
    "tag": TAGS,
}

_READERS: Final[Mapping[str, Callable[[ItemEvent], object]]] = {
    ITEM_ID.name: lambda item: item.item_id,
    TITLE.name: lambda item: item.title or None,
    CATEGORY.name: lambda item: item.categories or None,
    TAGS.name: lambda item: item.tags or None,
    PRICE.name: lambda item: item.price_micros,
    PUBLISHED_AT_MS.name: lambda item: item.published_at_ms,
}


def attribute(name: str) -> Field:
    """The field of one attribute."""
    return Field(f"{ATTRIBUTES}.{name}", FieldType.ANY, name)


def reader_of(field: Field) -> Callable[[ItemEvent], object]:
    """What an item holds under the field, None where it has nothing. A price is in micros."""
    if field.attribute:
        name = field.attribute
        return lambda item: item.attributes.get(name)
    return _READERS[field.name]


def stored(field: Field, value: Value) -> str | bool | int | float | Decimal:
    """A filter's value as the catalogue would hold it: a price in micros, an attribute as JSON's number.

    So a price is compared exactly, and an attribute of 9.99 is equal to 9.99 though no binary number is.
    """
    if not isinstance(value, Decimal):
        return value
    held = value * MICROS if field == PRICE else value
    if held == held.to_integral_value():
        return int(held)
    return float(held) if field.type is FieldType.ANY else held
