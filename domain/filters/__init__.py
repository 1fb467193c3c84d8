"""The filter language: `category in ("drama", "comedy") and price < 20 and not tags has "x"`; imports `schemas` only.

Read left to right: `lexer` → `parser` → `syntax` (a typed tree) → `predicate`. A text is parsed, typed and bounded
before it meets an item; nothing is ever evaluated as code.
"""

from domain.filters.errors import FilterError
from domain.filters.parser import parse
from domain.filters.predicate import Filter, predicate_of

__all__ = ["Filter", "FilterError", "parse", "predicate_of"]
