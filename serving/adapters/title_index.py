"""The words of all titles, to find items by what somebody has typed so far."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

WORDS_MAX: Final = 32
"""Words of one title that are looked up; the rest of a longer one is not."""

EXPANSIONS_MAX: Final = 500
"""Words that one begun word may stand for."""

_WORD: Final = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, without case and accents, each once."""
    plain = text
    if not text.isascii():
        plain = "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))
    return list(dict.fromkeys(_WORD.findall(plain.casefold())))[:WORDS_MAX]


class TitleIndex:
    """By word the items whose title has it. Written by one thread and read by others without a lock: what a reader
    touches is one copy, made in one step of the interpreter.
    """

    def __init__(self) -> None:
        self._words_of: dict[str, tuple[str, ...]] = {}
        self._items_with: dict[str, set[str]] = {}
        self._sorted: Sequence[str] = ()  # replaced as a whole

    def __len__(self) -> int:
        return len(self._words_of)

    def put(self, titles: Iterable[tuple[str, str]]) -> None:
        """Take titles by item; an empty one takes the item out."""
        before = len(self._items_with)
        for item_id, title in titles:
            words = tuple(words_of(title))
            known = self._words_of.get(item_id, ())
            if words == known:
                continue
            for word in set(known).difference(words) if known else ():
                self._items_with[word].discard(item_id)
            for word in words:
                items = self._items_with.get(word)
                if items is None:
                    self._items_with[word] = {item_id}
                else:
                    items.add(item_id)
            if words:
                self._words_of[item_id] = words
            else:
                del self._words_of[item_id]
        if len(self._items_with) != before:
            self._sorted = sorted(self._items_with)

    def find(self, words: Sequence[str]) -> set[str]:
        """The items whose title has, for every one of `words`, a word that begins with it."""
        if not words:
            return set()
        found = [self._with(word) for word in words]
        found.sort(key=len)
        return found[0].intersection(*found[1:])

    def words(self, item_id: str) -> tuple[str, ...]:
        """The words of an item's title, in their order."""
        return self._words_of.get(item_id, ())

    def _with(self, begun: str) -> set[str]:
        """The items with a word that begins so: first of the word itself, then of those that go on from it."""
        words, items = self._sorted, set()
        start = bisect_left(words, begun)
        for word in words[start : start + EXPANSIONS_MAX]:
            if not word.startswith(begun):
                break
            items.update(self._items_with[word])
        return items
