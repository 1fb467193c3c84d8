"""The facts of one partition as arrays, sorted by entity and bucket: all that their totals follow from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from batch.features.arrays import Flags, Ints, Words, column_of, ints_of, starts_of
from domain.policies import BucketPolicy


class FactArrays:
    """The facts of entities that have no fact anywhere else. Only columns that somebody asks for are looked at."""

    def __init__(self, facts: pa.Table, key: str, policy: BucketPolicy) -> None:
        entities = Words.of(column_of(facts, key))
        bucket = ints_of(facts, "bucket_ms") // policy.period_ms
        self.entities = entities.distinct
        self.policy = policy
        self.first_bucket = int(bucket.min()) if len(bucket) else 0
        self._facts = facts
        self._order = np.lexsort((bucket, entities.places))
        self.entity = entities.places[self._order]
        self.bucket = bucket[self._order] - self.first_bucket
        self._ints: dict[str, Ints] = {}
        self._words: dict[str, Words] = {}

    def __len__(self) -> int:
        return len(self.entity)

    @property
    def entity_count(self) -> int:
        """How many entities there are, numbered from 0."""
        return len(self.entities)

    def bucket_ms(self, bucket: Ints) -> Ints:
        """The starts of buckets."""
        return (bucket + self.first_bucket) * self.policy.period_ms

    def is_of(self, kinds: tuple[str, ...]) -> Flags:
        """Which facts are of one of the kinds; all are when none is named."""
        if not kinds:
            return np.ones(len(self), np.bool_)
        found = self.words("kind")
        counted = np.array([kind in kinds for kind in found.distinct.to_pylist()], np.bool_)
        flags: Flags = counted[found.places]
        return flags

    def ints(self, name: str) -> Ints:
        """A column of integers."""
        if name not in self._ints:
            self._ints[name] = ints_of(self._facts, name)[self._order]
        return self._ints[name]

    def words(self, name: str) -> Words:
        """A column of strings."""
        if name not in self._words:
            words = Words.of(column_of(self._facts, name))
            self._words[name] = Words(words.places[self._order], words.distinct)
        return self._words[name]

    def listed_words(self, name: str) -> tuple[Ints, Words]:
        """Of a column of lists, each distinct word of each row: the rows, and the words."""
        lists = column_of(self._facts, name)
        words = Words.of(lists.flatten())
        row = np.empty(len(self), np.int64)
        row[self._order] = np.arange(len(self))
        lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
        codes = np.sort(np.repeat(row, lengths) * len(words.distinct) + words.places)
        codes = codes[starts_of(codes)]  # `np.unique` hashes, which took four fifths of all that categories cost
        rows, places = np.divmod(codes, max(len(words.distinct), 1))
        return rows, Words(places, words.distinct)
