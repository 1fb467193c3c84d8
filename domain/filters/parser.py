"""From tokens to the typed tree, by recursive descent.

    filter     = all ("or" all)*
    all        = one ("and" one)*
    one        = "not" one | "(" filter ")" | comparison
    comparison = field ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") value
               | field ["not"] "in" "(" value ("," value)* ")"
               | field ["not"] "has" text
               | field "exists"
    field      = name | "attributes" "." name | "attributes" "[" text "]"
    value      = text | number | "true" | "false"

Words of the language may be written in any case. A tree is bounded in depth, comparisons and values, so that neither
this nor an evaluation can be made to take long.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from domain.filters.errors import FilterError
from domain.filters.fields import ATTRIBUTES, FIELDS, OPERATORS, ORDERING, Field, FieldType, Operator, Value, attribute
from domain.filters.lexer import Token, number_of, tokens_of
from domain.filters.syntax import All, AnyOf, Comparison, Expression, Not

DEPTH_MAX: Final = 16
COMPARISONS_MAX: Final = 64
VALUES_MAX: Final = 256

_WORDS: Final = frozenset({"and", "or", "not", "in", "has", "exists", "true", "false"})
_SIGNS: Final = {"=": Operator.EQUAL, "==": Operator.EQUAL, "!=": Operator.EQUAL} | {
    each.value: each for each in ORDERING
}


def parse(text: str) -> Expression:
    """The tree of a filter. Raises FilterError, which tells the place and what to write instead."""
    return _Parser(text).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(tokens_of(text))
        self._at = 0
        self._depth = 0
        self._comparisons = 0
        self._values = 0

    def whole(self) -> Expression:
        expression = self._any()
        self._expect_end()
        return expression

    def _any(self) -> Expression:
        terms = [self._all()]
        while self._take("or"):
            terms.append(self._all())
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _all(self) -> Expression:
        terms = [self._one()]
        while self._take("and"):
            terms.append(self._one())
        return terms[0] if len(terms) == 1 else All(tuple(terms))

    def _one(self) -> Expression:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise self._wrong(f"more than {DEPTH_MAX} levels", "take out parentheses or ask with a simpler filter")
        found: Expression
        if self._take("not"):
            found = Not(self._one())
        elif self._take("("):
            found = self._any()
            self._expect(")", "close the parenthesis, or join with `and` or `or`")
        else:
            found = self._comparison()
        self._depth -= 1
        return found

    def _comparison(self) -> Expression:
        self._comparisons += 1
        if self._comparisons > COMPARISONS_MAX:
            raise self._wrong(f"more than {COMPARISONS_MAX} comparisons", 'use `in ("a", "b")` for several values')
        field = self._field()
        is_negated = self._take("not")
        token = self._next()
        word = token.spelling.lower() if token.kind in ("word", "sign") else ""
        if word in _SIGNS and not is_negated:
            operator = _SIGNS[word]
            is_negated = word == "!="
        elif word in ("in", "has") or (word == "exists" and not is_negated):
            operator = Operator(word)
        else:
            raise _wrong_at(token, f"{_shown(token)} after {field.name}", _asking(field))
        _check_operator(field, operator, token)
        comparison = Comparison(field, operator, self._values_of(field, operator))
        return Not(comparison) if is_negated else comparison

    def _field(self) -> Field:
        token = self._next()
        name = token.spelling
        if token.kind == "word" and name.lower() not in _WORDS:
            if name == ATTRIBUTES:
                return self._attribute()
            if name in FIELDS:
                return FIELDS[name]
            near = get_close_matches(name.lower(), [*FIELDS, ATTRIBUTES], 1)
            remedy = f"did you mean `{near[0]}`?" if near else f"use {_listed([*FIELDS, f'{ATTRIBUTES}.NAME'])}"
            raise _wrong_at(token, f"no field {name!r}", remedy)
        raise _wrong_at(token, f"{_shown(token)} where a field should be", f"use {_listed(FIELDS)}")

    def _attribute(self) -> Field:
        if self._take("["):
            token = self._next()
            if token.kind != "text" or not token.spelling:
                raise _wrong_at(token, f"{_shown(token)} where a name should be", 'write attributes["name"]')
            self._expect("]", "close the bracket")
            return attribute(token.spelling)
        self._expect(".", 'write attributes.name or attributes["name"]')
        token = self._next()
        if token.kind != "word":
            raise _wrong_at(token, f"{_shown(token)} where a name should be", 'write attributes["name"]')
        return attribute(token.spelling)

    def _values_of(self, field: Field, operator: Operator) -> tuple[Value, ...]:
        if operator is Operator.EXISTS:
            return ()
        if operator is not Operator.IN:
            return (self._value(field, operator),)
        self._expect("(", f'write {field.name} in ("a", "b")')
        values = [self._value(field, operator)]
        while self._take(","):
            values.append(self._value(field, operator))
        self._expect(")", "close the parenthesis, or go on with a comma")
        return tuple(values)

    def _value(self, field: Field, operator: Operator) -> Value:
        self._values += 1
        if self._values > VALUES_MAX:
            raise self._wrong(f"more than {VALUES_MAX} values", "ask with fewer")
        token = self._next()
        value = _value_of(token)
        if value is None:
            remedy = f"write {_wanted(field)}" if token.kind != "word" else f'put it in quotes: "{token.spelling}"'
            raise _wrong_at(token, f"{_shown(token)} where a value should be", remedy)
        is_text = isinstance(value, str)
        is_number = token.kind == "number"
        if field.type in (FieldType.TEXT, FieldType.TEXTS) and not is_text:
            raise _wrong_at(token, f"{field.name} holds {field.type}", f'put it in quotes: "{token.spelling}"')
        if (field.type is FieldType.NUMBER or operator in ORDERING) and not is_number:
            problem = f"{field.name} {operator} needs a number"
            raise _wrong_at(token, problem, f"write {field.name} {operator} 20, without quotes")
        return value

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _take(self, spelling: str) -> bool:
        token = self._tokens[self._at]
        is_there = token.kind in ("word", "sign") and token.spelling.lower() == spelling
        self._at += is_there
        return is_there

    def _expect(self, spelling: str, remedy: str) -> None:
        if not self._take(spelling):
            raise self._wrong(f"{_shown(self._tokens[self._at])} where {spelling!r} should be", remedy)

    def _expect_end(self) -> None:
        token = self._tokens[self._at]
        if token.kind != "end":
            raise _wrong_at(token, f"{_shown(token)} after the end of a comparison", "join with `and` or `or`")

    def _wrong(self, problem: str, remedy: str) -> FilterError:
        return _wrong_at(self._tokens[self._at], problem, remedy)


def _check_operator(field: Field, operator: Operator, token: Token) -> None:
    if operator in OPERATORS[field.type]:
        return
    if field.type is FieldType.TEXTS and operator is Operator.EQUAL:
        remedy = f'write {field.name} has "a", or {field.name} in ("a", "b") for any of them'
    elif operator is Operator.HAS:
        remedy = f"write {field.name} = {_wanted(field)}"
    else:
        remedy = _asking(field)
    raise _wrong_at(token, f"{field.name} holds {field.type}, which `{token.spelling}` does not fit", remedy)


def _value_of(token: Token) -> Value | None:
    match token.kind:
        case "text":
            return token.spelling
        case "number":
            return number_of(token)
        case "word" if token.spelling.lower() in ("true", "false"):
            return token.spelling.lower() == "true"
        case _:
            return None


def _wanted(field: Field) -> str:
    return "20" if field.type is FieldType.NUMBER else '"a"'


def _asking(field: Field) -> str:
    return f"ask it with {_listed(f'`{each}`' for each in OPERATORS[field.type])}"


def _listed(names: object) -> str:
    *others, last = map(str, names)  # type: ignore[call-overload]
    return f"{', '.join(others)} or {last}" if others else last


def _shown(token: Token) -> str:
    return "nothing" if token.kind == "end" else f"{token.spelling[:40]!r}"


def _wrong_at(token: Token, problem: str, remedy: str) -> FilterError:
    return FilterError(token.position, problem, remedy)
