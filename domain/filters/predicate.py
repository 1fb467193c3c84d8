"""A filter, evaluated on items of the catalogue.

What an item does not say, it does not fulfil: each comparison with something absent is false, and so `not price < 20`,
as `price != 20`, keeps an item without a price. An item that the catalogue does not know has an id and nothing else.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, assert_never

from domain.filters.fields import Field, FieldType, Operator, reader_of, stored
from domain.filters.parser import parse
from domain.filters.syntax import All, AnyOf, Comparison, Expression, Not
from schemas.events import ItemEvent

Predicate = Callable[[ItemEvent], bool]

_ORDER: Final[Mapping[Operator, Callable[[Any, Any], bool]]] = {
    Operator.LESS: operator.lt,
    Operator.AT_MOST: operator.le,
    Operator.MORE: operator.gt,
    Operator.AT_LEAST: operator.ge,
}


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter, ready for items."""

    text: str
    matches: Predicate = field(compare=False, repr=False)

    @classmethod
    def of(cls, text: str) -> Filter:
        """From its text. Raises FilterError."""
        return cls(text, predicate_of(parse(text)))


def predicate_of(expression: Expression) -> Predicate:
    """The expression as a function of an item; it neither waits nor fails."""
    match expression:
        case Comparison():
            return _comparison(expression)
        case Not(term):
            holds = predicate_of(term)
            return lambda item: not holds(item)
        case All(terms):
            each_holds = [predicate_of(term) for term in terms]
            return lambda item: all(holds(item) for holds in each_holds)
        case AnyOf(terms):
            one_holds = [predicate_of(term) for term in terms]
            return lambda item: any(holds(item) for holds in one_holds)
        case _:
            assert_never(expression)


def _comparison(comparison: Comparison) -> Predicate:
    read = reader_of(comparison.field)
    values = tuple(stored(comparison.field, value) for value in comparison.values)
    match comparison.operator:
        case Operator.EXISTS:
            return lambda item: read(item) is not None
        case Operator.EQUAL | Operator.IN | Operator.HAS:
            return _any_of(comparison.field, read, values)
        case ordering:
            return _ordered(read, _ORDER[ordering], values[0])


def _any_of(field: Field, read: Callable[[ItemEvent], Any], values: tuple[object, ...]) -> Predicate:
    """Whether what the item holds, or one of it, is among the values. A truth value is no number, as it is in JSON."""
    wanted = frozenset(value for value in values if not isinstance(value, bool))
    truths = frozenset(value for value in values if isinstance(value, bool))
    if field.type is FieldType.TEXTS:
        return lambda item: not wanted.isdisjoint(read(item) or ())

    def holds(item: ItemEvent) -> bool:
        held = read(item)
        return held in (truths if isinstance(held, bool) else wanted)

    return holds


def _ordered(read: Callable[[ItemEvent], Any], compare: Callable[[Any, Any], bool], value: object) -> Predicate:
    """Whether what the item holds is a number and stands so to the value. Python compares these without rounding."""

    def holds(item: ItemEvent) -> bool:
        held = read(item)
        return isinstance(held, int | float) and not isinstance(held, bool) and compare(held, value)

    return holds
