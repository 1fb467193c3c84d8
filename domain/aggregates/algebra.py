"""The protocol of an aggregate, and the columns in which stores keep its states.

A *state* covers one bucket and is an ordinary commutative monoid (`zero`, `add`, `merge`): order and grouping within
a bucket cannot matter. A *total* covers all buckets up to some instant. `extend` takes one more bucket, in ascending
order; a total that was stored at a cutoff and is extended later equals one that was extended all along, to the bit,
because both take the same steps. `finish` turns a total into values at an instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from domain.facts import Fact
from domain.policies import BucketPolicy


class ColumnType(StrEnum):
    """What one cell of a store's column holds."""

    INT = "int"
    FLOAT = "float"
    STRING = "string"
    INTS = "ints"
    FLOATS = "floats"
    STRINGS = "strings"
    INT_LISTS = "int_lists"
    STRING_LISTS = "string_lists"

    @property
    def per_bucket(self) -> ColumnType:
        """The type of a list of such cells, one a bucket."""
        return _PER_BUCKET[self]


_PER_BUCKET = {
    ColumnType.INT: ColumnType.INTS,
    ColumnType.FLOAT: ColumnType.FLOATS,
    ColumnType.STRING: ColumnType.STRINGS,
    ColumnType.INTS: ColumnType.INT_LISTS,
    ColumnType.STRINGS: ColumnType.STRING_LISTS,
}


@dataclass(frozen=True, slots=True)
class Column:
    """A named cell. `suffix` follows the feature's name; an empty one leaves the name alone."""

    suffix: str
    type: ColumnType

    def name(self, feature: str) -> str:
        """The column's full name for a feature."""
        return f"{feature}_{self.suffix}" if self.suffix else feature


Adder = Callable[[Any, Fact], Any]


class Aggregate(Protocol):
    """A monoid per bucket with an ordered fold over buckets. States and totals are plain, serialisable values.

    To extend a total by a zero state changes nothing, so that a store may leave zero states out.
    """

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of facts that change a state; none when all do."""
        ...

    @property
    def state_columns(self) -> Sequence[Column]: ...

    @property
    def total_columns(self) -> Sequence[Column]: ...

    @property
    def value_columns(self) -> Sequence[Column]: ...

    def zero(self) -> Any:
        """The state of a bucket without facts."""

    def adder(self, period_ms: int) -> Adder:
        """What adds a fact to the state of its bucket, one of `period_ms`.

        A function of its own, because the stream calls a dozen with each event, and looks up nothing that it could know
        before. The state may be changed in place and must not be reused.
        """

    def add(self, state: Any, fact: Fact, policy: BucketPolicy) -> Any:
        """The state with one more fact of the same bucket, by `adder`."""

    def merge(self, left: Any, right: Any) -> Any:
        """The state of two disjoint parts of one bucket."""

    def nothing(self) -> Any:
        """The total of no buckets."""

    def extend(self, total: Any, state: Any, bucket_start_ms: int) -> Any:
        """The total with one more bucket, later than all that it covers."""

    def finish(self, total: Any, as_of_ms: int) -> tuple[Any, ...]:
        """Values at an instant, aligned with `value_columns`."""

    def pack_state(self, state: Any) -> tuple[Any, ...]:
        """A state as cells, aligned with `state_columns`."""

    def unpack_state(self, cells: Sequence[Any]) -> Any:
        """The inverse of `pack_state`."""

    def pack_total(self, total: Any) -> tuple[Any, ...]:
        """A total as cells, aligned with `total_columns`."""

    def unpack_total(self, cells: Sequence[Any]) -> Any:
        """The inverse of `pack_total`."""
