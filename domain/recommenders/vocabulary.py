"""Item ids as the world writes them, and as the models count them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import msgspec

from domain.recommenders.protocol import Session
from domain.recommenders.stored import UnreadableModel


class Vocabulary:
    """A fixed, sorted set of item ids; the dense id of an item is its place in it."""

    __slots__ = ("_dense", "item_ids")

    def __init__(self, item_ids: Iterable[str]) -> None:
        self.item_ids: tuple[str, ...] = tuple(sorted(set(item_ids)))
        self._dense = {item_id: dense for dense, item_id in enumerate(self.item_ids)}

    def __len__(self) -> int:
        return len(self.item_ids)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._dense

    def dense(self, item_id: str) -> int | None:
        """The dense id, or None for an unknown item."""
        return self._dense.get(item_id)

    def item_id(self, dense: int) -> str:
        """The item id; raises IndexError outside the vocabulary."""
        if dense < 0:
            raise IndexError(dense)
        return self.item_ids[dense]

    def session(self, item_ids: Iterable[str]) -> Session:
        """The session of these items, oldest first; unknown ones are dropped."""
        return Session(tuple(dense for each in item_ids if (dense := self._dense.get(each)) is not None))

    def fingerprint(self) -> str:
        """SHA-256 over the ids in order: two models may work together only if theirs are equal."""
        digest = hashlib.sha256()
        for item_id in self.item_ids:
            encoded = item_id.encode()
            digest.update(len(encoded).to_bytes(4, "big") + encoded)
        return digest.hexdigest()

    def save(self, folder: Path) -> None:
        """Write `vocabulary.json`."""
        (folder / "vocabulary.json").write_bytes(msgspec.json.encode(self.item_ids))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `UnreadableModel`."""
        path = folder / "vocabulary.json"
        try:
            item_ids = msgspec.json.decode(path.read_bytes(), type=tuple[str, ...])
        except (OSError, msgspec.MsgspecError) as error:
            raise UnreadableModel(path, str(error)) from error
        vocabulary = cls(item_ids)
        if vocabulary.item_ids != item_ids:
            raise UnreadableModel(path, "its ids are not sorted and distinct")
        return vocabulary
