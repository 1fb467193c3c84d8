"""The tree that a filter is parsed into, and its text again."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from domain.filters.fields import ATTRIBUTES, Field, Operator, Value
from domain.filters.lexer import quoted

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One question about one field; `values` is empty for `exists`, and has several for `in` only."""

    field: Field
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """True where the term is not."""

    term: Expression


@dataclass(frozen=True, slots=True)
class All:
    """True where each of two or more terms is."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where one of two or more terms is."""

    terms: tuple[Expression, ...]


Expression = Comparison | Not | All | AnyOf


def render(expression: Expression) -> str:
    """A text that is parsed into this tree again."""
    match expression:
        case Comparison(field, Operator.EXISTS):
            return f"{_name(field)} exists"
        case Comparison(field, Operator.IN, values):
            return f"{_name(field)} in ({', '.join(map(_literal, values))})"
        case Comparison(field, operator, values):
            return f"{_name(field)} {operator} {_literal(values[0])}"
        case Not(term):
            return f"not {_within(term, (All, AnyOf))}"
        case All(terms):
            return " and ".join(_within(term, (All, AnyOf)) for term in terms)
        case AnyOf(terms):
            return " or ".join(_within(term, (AnyOf,)) for term in terms)


def _within(term: Expression, grouped: tuple[type, ...]) -> str:
    """No more parentheses than it takes, so that a text does not get deeper than it was."""
    return f"({render(term)})" if isinstance(term, grouped) else render(term)


def _name(field: Field) -> str:
    if not field.attribute or _PLAIN.fullmatch(field.attribute):
        return field.name
    return f"{ATTRIBUTES}[{quoted(field.attribute)}]"


def _literal(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case str():
            return quoted(value)
