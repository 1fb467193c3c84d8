"""A filter's text, cut into tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from domain.filters.errors import FilterError

TEXT_MAX: Final = 2_000
"""Characters of a filter."""

STRING_MAX: Final = 512
"""Characters of a text in it: no title is longer."""

DIGITS_MAX: Final = 18
"""Digits of a number before its point, and after it: exact in Decimal's 28 with the six of a price's micros."""

TokenKind = Literal["word", "text", "number", "sign", "end"]

_TOKEN: Final = re.compile(
    r"""(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
    | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<sign><=|>=|!=|==|[=<>().,\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_REMEDIES: Final = {
    '"': "end the text with the quote that it began with",
    "'": "end the text with the quote that it began with",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not`",
    "~": "write `not`",
}


class Token(NamedTuple):
    """A word, text, number or sign. `spelling` is a text's content; `position` counts characters from 1."""

    kind: TokenKind
    spelling: str
    position: int


def tokens_of(text: str) -> Iterator[Token]:
    """The tokens, the last one of kind `end`. Raises FilterError."""
    if len(text) > TEXT_MAX:
        raise FilterError(TEXT_MAX + 1, f"{len(text)} characters, at most {TEXT_MAX}", "ask with a shorter filter")
    at = _SPACE.match(text).end()  # type: ignore[union-attr]  # it matches the empty text too
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise FilterError(at + 1, f"{text[at]!r} begins nothing", _REMEDIES.get(text[at], "remove it"))
        kind: TokenKind = found.lastgroup  # type: ignore[assignment]  # the names of the groups
        yield Token(kind, _spelling(kind, found.group(), at + 1), at + 1)
        at = _SPACE.match(text, found.end()).end()  # type: ignore[union-attr]
    yield Token("end", "", len(text) + 1)


def number_of(token: Token) -> Decimal:
    """The number that a token of that kind spells, exactly."""
    return Decimal(token.spelling)


def quoted(text: str) -> str:
    """A text as it is written in a filter."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _spelling(kind: TokenKind, written: str, position: int) -> str:
    if kind == "text":
        content = _ESCAPED.sub(r"\1", written[1:-1])
        if len(content) > STRING_MAX:
            raise FilterError(position, f"a text of {len(content)} characters, at most {STRING_MAX}", "shorten it")
        return content
    if kind == "number" and max(map(len, written.lstrip("-").split("."))) > DIGITS_MAX:
        problem = f"more than {DIGITS_MAX} digits on one side of the point"
        raise FilterError(position, problem, "round the number")
    return written
